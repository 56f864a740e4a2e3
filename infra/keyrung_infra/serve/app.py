"""The ASGI shell: every request becomes a `WebRequest` for the one core, and nothing is decided here.

One handler takes all paths, so there is no framework: its routing would cost as much as a decision does.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from keyrung_infra.serve.build import Parts
from keyrung_verifier.entry import Reply, WebRequest, serve
from keyrung_verifier.limits import MAX_BODY_BYTES

_LOG = logging.getLogger(__name__)
_MAINTENANCE_SECONDS = 5.0
# As many requests are at work at once, and as many commits can share one sync of the disk; more take turns only.
_THREADS = 16


class VerifierApp:
    """The ASGI application for a verifier that was started; ``on_ready`` is called once it takes requests."""

    def __init__(self, parts: Parts, *, on_ready: Callable[[], None]) -> None:
        self._parts = parts
        self._on_ready = on_ready
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="verifier")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        request = WebRequest(
            method=scope["method"],
            path=scope["path"],
            authorization=_one_header(scope, b"authorization"),
            dpop=_one_header(scope, b"dpop"),
            request_id=_one_header(scope, b"x-request-id"),
            body=body,
        )
        reply = await asyncio.get_running_loop().run_in_executor(self._threads, self._serve, request)
        headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in reply.headers.items()]
        headers.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def _serve(self, request: WebRequest) -> Reply:
        with self._parts.turns.taken():
            return serve(self._parts.verifier, request)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        upkeep = asyncio.create_task(_maintain(self._parts))
        await send({"type": "lifespan.startup.complete"})
        self._on_ready()
        await receive()
        upkeep.cancel()
        with suppress(asyncio.CancelledError):
            await upkeep
        self._threads.shutdown()  # what is under way ends, with its record
        await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: Receive) -> bytes | None:
    """Return the body, at most one byte longer than the core accepts, which refuses that; None if the client left."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return bytes(body[: MAX_BODY_BYTES + 1])
        if not message.get("more_body", False):
            return bytes(body)


def _one_header(scope: Scope, name: bytes) -> str | None:
    """Return the header's value; one that comes twice is passed on as something no check accepts."""
    values: list[bytes] = [value for found, value in scope["headers"] if found == name]
    return b", ".join(values).decode("latin-1") if values else None


async def _maintain(parts: Parts) -> None:
    """Take key events into the log and keep the store tidy; a failure is tried again, and refuses nothing."""
    while True:
        await asyncio.sleep(_MAINTENANCE_SECONDS)
        try:
            await asyncio.to_thread(_maintain_once, parts)
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
