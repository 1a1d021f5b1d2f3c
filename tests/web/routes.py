"""Every route of the application, those of routers inside routers too: rules about all routes must leave none out."""

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.routing import APIRoute

from callqa.web.app import AREAS


def all_routes() -> list[APIRoute]:
    """In the order of the areas."""
    return [route for area in AREAS for route in _routes_of(area.router)]


def _routes_of(router: APIRouter) -> Iterator[APIRoute]:
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif isinstance(inside := getattr(route, "original_router", None), APIRouter):
            yield from _routes_of(inside)  # FastAPI 0.165 keeps an included router as one entry
        else:
            raise TypeError(f"a route of an unknown kind: {route!r}")
