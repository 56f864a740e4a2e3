"""Keep-alive connections to one endpoint."""

import ssl
import threading
import time
from collections.abc import Mapping

from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.timed_connection import Response, TimedConnection

# Connections that wait for the next call; a function serves one call at a time, a server a few dozen.
MAX_IDLE_CONNECTIONS = 16
# Services of AWS close an idle connection after some tens of seconds; an older one is not tried.
MAX_IDLE_SECONDS = 20.0
# A page of DynamoDB has 1 MB, a policy bundle half of it.
MAX_RESPONSE_BYTES = 4 * 1024 * 1024


class Connections:
    """A pool for one endpoint; safe for threads, each connection used by one at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._tls = ssl.create_default_context() if endpoint.scheme == "https" else None
        self._lock = threading.Lock()
        self._idle: list[tuple[float, TimedConnection]] = []

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
            response = connection.exchange(
                *(method, path, headers, body),
                deadline_seconds=deadline_seconds,
                max_response_bytes=MAX_RESPONSE_BYTES,
            )
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

    def _take(self) -> TimedConnection:
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
        return TimedConnection(self._endpoint.host, self._endpoint.port, self._tls)

    def _put_back(self, connection: TimedConnection) -> None:
        with self._lock:
            if connection.sock is not None and len(self._idle) < MAX_IDLE_CONNECTIONS:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()
