"""An HTTP connection over the standard library whose exchanges end by a deadline, whatever the other side does.

A plain socket time-out starts anew with every byte that arrives; here the time that is left shrinks.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a server answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class TimedConnection(http.client.HTTPConnection):
    """One connection, opened when it is first used, with TLS where a context is given.

    It takes no advice from the environment, such as a proxy, and follows no redirect.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self._tls = tls
        self._deadline_seconds = 0.0

    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        deadline_seconds: float,
        max_response_bytes: int,
    ) -> Response:
        """Send a request and return the whole answer; after an error the connection is good for nothing but `close`.

        Args:
            method: The HTTP method.
            path: The path, percent-encoded.
            headers: In lower case, `host` among them; sent as they are, with the body's length.
            body: The body.
            deadline_seconds: The end of the exchange on `time.monotonic`.
            max_response_bytes: A longer answer is an error.

        Raises:
            OSError: It could not be reached, or not in time.
            http.client.HTTPException: It answered something else than HTTP, less than it announced, or too much.
        """
        self._deadline_seconds = deadline_seconds
        if isinstance(self.sock, _TimedSocket):
            self.sock.deadline_seconds = deadline_seconds
        self.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.putheader(name, value)
        self.endheaders(body)
        answer = self.getresponse()
        text = answer.read(max_response_bytes)
        if not answer.isclosed():
            raise http.client.HTTPException("the answer is cut short or too long")
        return Response(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.getheaders()},
            body=text,
        )

    def connect(self) -> None:
        """Connect before the deadline of the exchange; `http.client` calls this."""
        plain = socket.create_connection((self.host, self.port), timeout=_left_seconds(self._deadline_seconds))
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
        self._plain.settimeout(_left_seconds(self.deadline_seconds))  # for all of it, as `sendall` counts
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
        self._plain.settimeout(_left_seconds(self._timed.deadline_seconds))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left_seconds(deadline_seconds: float) -> float:
    left_seconds = deadline_seconds - time.monotonic()
    if left_seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return left_seconds
