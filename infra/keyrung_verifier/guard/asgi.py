"""The guard around an ASGI application (Starlette, FastAPI and the like)."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import httpx

from keyrung_verifier.guard.admission import MAX_BODY_BYTES, Guard
from keyrung_verifier.guard.calls import client_credentials
from keyrung_verifier.guard.messages import (
    MAX_ANSWER_BYTES,
    NO_ANSWER,
    VERIFIER_DEADLINE_SECONDS,
    Answer,
    Call,
    Steps,
)
from keyrung_verifier.guard.model import Action, GuardConfigError, GuardedRequest, Head, Refusal, Session
from keyrung_verifier.guard.reply import Reply, reply_to
from keyrung_verifier.guard.routes import below

# All that an application needs.
__all__ = [
    "Action",
    "Guard",
    "GuardConfigError",
    "GuardedRequest",
    "Session",
    "StepUpGuard",
    "client_credentials",
    "verifier_client",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger(__name__)


class _ClientGoneError(Exception):
    """The client went away: there is nobody to answer."""


def verifier_client(ca_file: Path | None = None) -> httpx.AsyncClient:
    """Return a client that trusts the given CA only, or the system's.

    It takes no advice from the environment: a proxy variable must not redirect decisions.
    """
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    return httpx.AsyncClient(verify=context, timeout=VERIFIER_DEADLINE_SECONDS, trust_env=False)


class StepUpGuard:
    """Pure ASGI middleware.

    Args:
        app: The application.
        guard: What is decided.
        http: Carries the calls; closed when the application ends.
    """

    def __init__(self, app: App, guard: Guard, *, http: httpx.AsyncClient | None = None) -> None:
        self._app, self._guard, self._http = app, guard, http or verifier_client()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a refusal."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)  # raises at once where the application has no lifespan
            await self._http.aclose()
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":  # a long connection is no request that an assertion could be bound to
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            arrival = self._guard.arrive(_head(scope), self._guard.identify(scope))
            body = await _read_body(receive)
            await self._carry_out(self._guard.admit(arrival, body))
        except _ClientGoneError:
            return
        except Exception as error:
            await _answer(reply_to(error), send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _carry_out(self, steps: Steps[None]) -> None:
        answer: Answer | None = None
        try:
            while True:
                answer = await self._ask(next(steps) if answer is None else steps.send(answer))
        except StopIteration:
            return

    async def _ask(self, call: Call) -> Answer:
        content = bytearray()
        try:
            async with (
                asyncio.timeout(VERIFIER_DEADLINE_SECONDS),
                self._http.stream(
                    call.method, call.url, headers=call.headers, content=call.body, follow_redirects=False
                ) as response,
            ):
                if "Content-Encoding" in response.headers:  # not asked for, and could unpack to anything
                    return NO_ANSWER
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MAX_ANSWER_BYTES:
                        return NO_ANSWER
        except (httpx.HTTPError, TimeoutError) as error:
            # Such as a certificate that does not count; what the other side has sent is not in it.
            why = f" ({error})" if isinstance(error, httpx.ConnectError) else ""
            _LOG.warning("the verifier did not answer: %s%s", type(error).__name__, why)
            return NO_ANSWER
        nonce = response.headers.get("DPoP-Nonce")
        return Answer(status=response.status_code, content=bytes(content), dpop_nonce=nonce)


def _head(scope: Scope) -> Head:
    # The raw path, as it came in: the decoded one would let two requests look alike. Latin 1 keeps every byte.
    target = bytes(scope.get("raw_path") or b"")
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    return Head(
        method=scope["method"],
        path=below(scope.get("root_path", ""), scope["path"]),
        target=target.decode("latin-1"),
        headers=[(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]],
    )


async def _read_body(receive: Receive) -> bytes:
    """Return the whole body, or refuse it as soon as it is longer than allowed."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise Refusal(413, "body_too_large", "body")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the application the body that was decided on, then what comes after it."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed


async def _answer(reply: Reply, send: Send) -> None:
    headers = {**reply.headers, "Content-Length": str(len(reply.body))}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    await send({"type": "http.response.body", "body": reply.body})
