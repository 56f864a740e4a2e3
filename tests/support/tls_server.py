"""Any ASGI application, and a whole verifier, behind real TLS on the loopback address."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support.verifier import World

from keyrung_infra.local.certificates import ensure_authority, ensure_server
from keyrung_infra.local.ports import free_ports
from keyrung_verifier.entry import WebRequest, serve

START_SECONDS = 30


def make_certificates(folder: Path, name: str = "tls") -> Path:
    """Make an authority and a server certificate of it; return the authority's certificate."""
    now, authority, key = datetime.now(UTC), folder / f"{name}-ca.pem", folder / f"{name}-ca-key.pem"
    ensure_authority(authority, key, now=now)
    ensure_server(folder / f"{name}.pem", folder / f"{name}-key.pem", authority=authority, authority_key=key, now=now)
    return authority


def verifier_app(world: World) -> Starlette:
    """Return the smallest web server around a verifier."""

    async def handle(request: Request) -> Response:
        reply = serve(
            world.verifier,
            WebRequest(
                method=request.method,
                path=request.url.path,
                authorization=request.headers.get("Authorization"),
                body=await request.body(),
            ),
        )
        return Response(reply.body, status_code=reply.status, headers=dict(reply.headers))

    return Starlette(routes=[Route("/{path:path}", handle, methods=["GET", "POST"])])


@contextmanager
def serving_tls(app: Any, folder: Path, *, name: str = "tls") -> Iterator[str]:
    """Serve an application with the certificate that `make_certificates` made; yield its URL."""
    (port,) = free_ports(1)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=port,
            ssl_certfile=folder / f"{name}.pem",
            ssl_keyfile=folder / f"{name}-key.pem",
            log_level="critical",
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"https://localhost:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=START_SECONDS)


@contextmanager
def running_verifier(world: World, folder: Path) -> Iterator[str]:
    """Serve a verifier; yield its URL."""
    with serving_tls(verifier_app(world), folder) as url:
        yield url
