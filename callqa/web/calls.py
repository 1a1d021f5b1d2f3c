"""通话: the list and the page of one call."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callqa.web.deps import NavItem, page, require

router = APIRouter()
NAV = (NavItem("通话", "/calls", "calls.view", "phone"),)


@router.get("/calls", dependencies=[require("calls.view")])
def call_list(request: Request) -> Response:
    """The list."""
    return page(request, "home/home.html")
