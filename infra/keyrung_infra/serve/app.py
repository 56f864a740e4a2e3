"""The starlette shell: every request becomes a `WebRequest` for the one core, and nothing is decided here."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from keyrung_infra.serve.build import Parts
from keyrung_verifier.entry import WebRequest, serve
from keyrung_verifier.limits import MAX_BODY_BYTES

_LOG = logging.getLogger(__name__)
_MAINTENANCE_SECONDS = 5.0
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(parts: Parts, *, on_ready: Callable[[], None]) -> Starlette:
    """Return the ASGI application for a verifier that was started; ``on_ready`` is called once it takes requests."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        upkeep = asyncio.create_task(_maintain(parts))
        on_ready()
        try:
            yield
        finally:
            upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await upkeep

    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)
        reply = await run_in_threadpool(
            serve,
            parts.verifier,
            WebRequest(
                method=request.method,
                path=request.scope["path"],  # exact; `request.url` drops tabs and line feeds
                authorization=_one_header(request, "authorization"),
                body=body,
            ),
        )
        return Response(reply.body, status_code=reply.status, headers=dict(reply.headers))

    return Starlette(routes=[Route("/{path:path}", endpoint, methods=_METHODS)], lifespan=lifespan)


async def _body(request: Request) -> bytes:
    """Return the body, at most one byte longer than the core accepts: it refuses that itself."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return bytes(body[: MAX_BODY_BYTES + 1])
    return bytes(body)


def _one_header(request: Request, name: str) -> str | None:
    """Return the header's value; one that comes twice is passed on as something no check accepts."""
    values = request.headers.getlist(name)
    return None if not values else values[0] if len(values) == 1 else ", ".join(values)


async def _maintain(parts: Parts) -> None:
    """Take key events into the log and keep the store tidy; a failure is tried again, and refuses nothing."""
    while True:
        await asyncio.sleep(_MAINTENANCE_SECONDS)
        try:
            await run_in_threadpool(_maintain_once, parts)
        except Exception as error:
            _LOG.warning("upkeep failed (%s); trying again", type(error).__name__)


def _maintain_once(parts: Parts) -> None:
    try:
        parts.records.overdue.look_if_due()
        parts.records.key_events.hand_over(parts.records.audit)
        parts.follower.follow()
    finally:  # one event that the log refuses must not keep the store untidy and the log unsigned
        parts.verifier.maintain()
    parts.records.evidence.sign_waiting()
