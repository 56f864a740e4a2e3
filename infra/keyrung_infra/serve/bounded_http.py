"""uvicorn's HTTP/1.1 connections with bounds on their number, and on the time and size of a request on its way.

Without them a client that sends half a request holds a descriptor for ever.
"""

import asyncio
from typing import Any

import uvloop
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from keyrung_infra.serve.limits import HANDSHAKE_SECONDS, MAX_CONNECTIONS, MAX_HEAD_BYTES, REQUEST_SECONDS


class BoundedHttp(HttpToolsProtocol):
    """One connection; what breaks a bound ends it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in the base class
        """Take the connection, or end it at once if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take part of a request."""
        if self._deadline is None:
            self._await_request()
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Begin the body."""
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request, which came in time."""
        self._in_head = True
        self._unset_deadline()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._unset_deadline()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Loop(uvloop.Loop):
    """The event loop; the servers that it makes wait for a client's part of TLS no longer than they should."""

    async def create_server(self, *arguments: Any, **options: Any) -> Any:
        """Return the server that uvicorn asks for."""
        return await super().create_server(
            *arguments, ssl_handshake_timeout=HANDSHAKE_SECONDS, ssl_shutdown_timeout=HANDSHAKE_SECONDS, **options
        )
