"""The web process: areas, templates, middleware, error pages. A new area is one row in AREAS.

An area is a module with `router: APIRouter` and `NAV: tuple[NavItem, ...]`; the navigation shows them in this order.
"""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import uvicorn
from fastapi import FastAPI

from callqa.config import Settings
from callqa.errors import ConfigError
from callqa.refusals import os_reason
from callqa.store.db import Database
from callqa.web import (
    ahead,
    auth,
    calls,
    coaching,
    confidential,
    corrections,
    deletions,
    error_pages,
    evaluate,
    followups,
    home,
    links,
    live,
    media,
    mine,
    must_review,
    people,
    private,
    reconcile,
    report,
    reviews,
    rubric_editor,
    sampling,
    search,
    system,
    tickets,
    transcription,
    trust,
)
from callqa.web.assets import load_assets
from callqa.web.deps import WebState
from callqa.web.guard import Guard
from callqa.web.templating import build_templates
from callqa.web.warm import warm

log = logging.getLogger(__name__)

# Order is the order of the navigation inside its groups (deps.NAV_GROUPS).
AREAS: tuple[ModuleType, ...] = (
    auth,
    home,
    live,
    media,
    calls,
    corrections,
    search,
    private,
    reconcile,
    followups,
    links,
    tickets,
    ahead,
    evaluate,
    must_review,
    reviews,
    mine,
    sampling,
    trust,
    report,
    coaching,
    people,
    rubric_editor,
    transcription,
    confidential,
    deletions,
    system,
)

STATIC_DIR = Path(__file__).parent / "static"


def now_ms_of_the_wall() -> int:
    """UTC milliseconds now; the only clock of the web process."""
    return time.time_ns() // 1_000_000


def create_app(settings: Settings, db: Database, *, clock: Callable[[], int] = now_ms_of_the_wall) -> FastAPI:
    """The whole web application over one database. clock: UTC milliseconds."""
    assets = load_assets(STATIC_DIR)
    app = FastAPI(title="callqa", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.callqa = WebState(
        settings=settings,
        db=db,
        templates=build_templates(assets.address),
        clock=clock,
        nav=tuple(item for area in AREAS for item in area.NAV),
    )
    for area in AREAS:
        app.include_router(area.router)
    app.mount("/static", assets, name="static")
    error_pages.install(app)
    app.add_middleware(Guard)
    return app


def run_web(settings: Settings) -> int:
    """Serve until stopped. Raise ConfigError when the port is taken. The database must be migrated already."""
    listener = _bind(settings.web.listen_host, settings.web.listen_port)
    db = Database(settings.database_url)
    app = create_app(settings, db)
    threading.Thread(target=warm, args=(app.state.callqa,), name="warm", daemon=True).start()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,  # event streams never end by themselves
    )
    server = uvicorn.Server(config)
    log.info("web listens on http://%s:%d", settings.web.listen_host, settings.web.listen_port)
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
        db.dispose()
    return 0 if server.started else 1


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as e:
        listener.close()
        if e.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"网页端口 {host}:{port} 已被别的程序占用；请停掉它，或在 callqa.toml 里改 web.listen_port"
            ) from e
        if e.errno == errno.EACCES:
            raise ConfigError(
                f"没有权限使用网页端口 {port}；请在 callqa.toml 里把 web.listen_port 改为 1024 以上"
            ) from e
        raise ConfigError(f"网页地址 {host}:{port} 不能监听（{os_reason(e)}）；请检查 web.listen_host") from e
    return listener
