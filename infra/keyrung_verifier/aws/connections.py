"""Keep-alive connections to one endpoint, each exchange with a deadline that holds whatever the other side does.

A plain socket time-out starts anew with every byte that arrives; here the time that is left shrinks.
"""

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keyrung_verifier.aws.endpoint import Endpoint

# Connections that wait for the next call; a function serves one call at a time, a server a few dozen.
MAX_IDLE_CONNECTIONS = 16
# Services of AWS close an idle connection after some tens of seconds; an older one is not tried.
MAX_IDLE_SECONDS = 20.0
# A page of DynamoDB has 1 MB, a policy bundle half of it.
MAX_RESPONSE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a server answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """A pool for one endpoint; safe for threads, each connection used by one at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._tls = ssl.create_default_context() if endpoint.scheme == "https" else None
        self._lock = threading.Lock()
        self._idle: list[tuple[float, _Connection]] = []

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, *, deadline_seconds: float
    ) -> Response:
        """Send a request and return the whole answer.

        Args:
            method: The HTTP method.
            path: The path, percent-encoded.
            headers: Sent as they are.
            body: The body.
            deadline_seconds: The end of the exchange on `time.monotonic`.

        Raises:
            OSError: It could not be reached, or not in time.
            http.client.HTTPException: It answered something else than HTTP, or too much.
        """
        connection = self._take()
        try:
            response = connection.exchange(method, path, headers, body, deadline_seconds)
        except BaseException:
            connection.close()
            raise
        self._put_back(connection)
        return response

    def close(self) -> None:
        """Close the connections that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _take(self) -> "_Connection":
        stale = []
        try:
            with self._lock:
                while self._idle:
                    since_seconds, connection = self._idle.pop()
                    if time.monotonic() - since_seconds <= MAX_IDLE_SECONDS:
                        return connection
                    stale.append(connection)
        finally:
            for connection in stale:
                connection.close()
        return _Connection(self._endpoint, self._tls)

    def _put_back(self, connection: "_Connection") -> None:
        with self._lock:
            if connection.sock is not None and len(self._idle) < MAX_IDLE_CONNECTIONS:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()


class _Connection(http.client.HTTPConnection):
    """One connection, opened when it is first used, with TLS where the endpoint says so."""

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None) -> None:
        super().__init__(endpoint.host, endpoint.port)
        self._tls = tls
        self._deadline_seconds = 0.0

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, deadline_seconds: float
    ) -> Response:
        self._deadline_seconds = deadline_seconds
        if isinstance(self.sock, _TimedSocket):
            self.sock.deadline_seconds = deadline_seconds
        self.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.putheader(name, value)
        self.endheaders(body)
        answer = self.getresponse()
        text = answer.read(MAX_RESPONSE_BYTES + 1)
        if len(text) > MAX_RESPONSE_BYTES:
            raise http.client.HTTPException("the answer is too long")
        return Response(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.getheaders()},
            body=text,
        )

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), timeout=_left(self._deadline_seconds))
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = plain if self._tls is None else self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        self.sock = _TimedSocket(secured, self._deadline_seconds)


class _TimedSocket:
    """What `http.client` needs of a socket, each step within the time that is left."""

    def __init__(self, plain: socket.socket, deadline_seconds: float) -> None:
        self._plain = plain
        self.deadline_seconds = deadline_seconds

    def sendall(self, data: bytes) -> None:
        self._plain.settimeout(_left(self.deadline_seconds))  # for all of it, as `sendall` counts
        self._plain.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self, self._plain))

    def close(self) -> None:
        self._plain.close()


class _TimedReader(io.RawIOBase):
    """The bytes that arrive; the socket stays open while it is read, even after the connection let go of it."""

    def __init__(self, timed: _TimedSocket, plain: socket.socket) -> None:
        super().__init__()
        self._timed = timed
        self._plain = plain
        self._raw = plain.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._plain.settimeout(_left(self._timed.deadline_seconds))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(deadline_seconds: float) -> float:
    left_seconds = deadline_seconds - time.monotonic()
    if left_seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return left_seconds
