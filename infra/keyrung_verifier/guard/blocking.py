"""Calls to the verifier with the standard library only, for functions that must start fast."""

import http.client
import io
import logging
import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from keyrung_verifier.guard.calls import MAX_ANSWER_BYTES, NO_ANSWER, VERIFIER_DEADLINE_SECONDS, Answer, Call

_LOG = logging.getLogger(__name__)


class Connection:
    """A TLS connection for the calls of one request.

    It takes no advice from the environment and follows no redirect. It is not kept for the next request: a function
    that was frozen in between would find it dead, and nobody knows whether a call on a dead connection was carried out.
    """

    def __init__(self, verifier_url: str, tls: ssl.SSLContext) -> None:
        self._http = http.client.HTTPSConnection(urlsplit(verifier_url).netloc, context=tls)

    def ask(self, call: Call) -> Answer:
        """Send a call; return what came within the deadline."""
        deadline_seconds = time.monotonic() + VERIFIER_DEADLINE_SECONDS

        def left_seconds() -> float:
            left = deadline_seconds - time.monotonic()
            if left <= 0:
                raise TimeoutError
            return left

        try:
            return self._exchange(call, left_seconds)
        except (OSError, http.client.HTTPException) as error:
            _LOG.warning("the verifier did not answer: %s", type(error).__name__)
            self.close()
            return NO_ANSWER

    def close(self) -> None:
        """End the connection, if there is one."""
        self._http.close()

    def _exchange(self, call: Call, left_seconds: Callable[[], float]) -> Answer:
        self._http.timeout = left_seconds()  # for connecting, which the first call does
        self._http.request(call.method, urlsplit(call.url).path, body=call.body, headers=dict(call.headers))
        self._http.response_class = lambda source, method: http.client.HTTPResponse(  # type: ignore[assignment]
            _Deadlined(source, left_seconds),  # type: ignore[arg-type] # all that is asked of it is makefile
            method=method,
        )
        with self._http.getresponse() as response:
            content = response.read(MAX_ANSWER_BYTES + 1)
            whole = response.isclosed()
        if not whole or response.headers.get("Content-Encoding") is not None:  # too long, or not as asked for
            self.close()
            return NO_ANSWER
        return Answer(status=response.status, content=content)


class _Deadlined(io.RawIOBase):
    """Reads a socket until a deadline, however slowly it drips: a socket's own timeout is for one read only."""

    def __init__(self, source: socket.socket, left_seconds: Callable[[], float]) -> None:
        self._socket, self._left_seconds = source, left_seconds
        self._raw = source.makefile("rb", buffering=0)  # counts as a user of the socket, which stays open for it

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override] # typeshed asks for any buffer
        self._socket.settimeout(self._left_seconds())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what `http.client.HTTPResponse` reads from."""
        return io.BufferedReader(self)
