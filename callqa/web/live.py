"""Area live."""

from fastapi import APIRouter

from callqa.web.deps import NavItem

router = APIRouter()
NAV: tuple[NavItem, ...] = ()
