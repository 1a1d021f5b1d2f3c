"""工作台: what waits this month, what is broken, what comes next."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callqa.web.deps import NavItem, page, require

router = APIRouter()
NAV = (NavItem("工作台", "/", "home.view", "home"),)


@router.get("/", dependencies=[require("home.view")])
def home(request: Request) -> Response:
    """The first page after signing in."""
    return page(request, "home/home.html")
