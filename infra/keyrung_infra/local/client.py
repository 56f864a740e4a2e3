"""A small client for the OpenBao calls of the local stack.

Two ways in: TLS over loopback with the stack's own authority, and the owner's Unix socket. hvac would cost `dev up` a
third of a second at each start and speaks no Unix socket.
"""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keyrung_infra.errors import InfraError

# Local calls take milliseconds; the first call on a fresh raft storage waits a second or two for its election.
_TIMEOUT_SECONDS = 15.0
_MAX_ANSWER_BYTES = 1 << 20


class UnreachableError(InfraError):
    """Nobody answered, or somebody else did (the certificate is not of our authority)."""


class RefusedError(InfraError):
    """OpenBao answered with an error."""

    def __init__(self, message: str, *, fix: str, status: int) -> None:
        super().__init__(message, fix=fix, status=str(status))
        self.status = status


class Client:
    """Sends one request per connection and returns the decoded answer."""

    def __init__(self, connect: Callable[[], http.client.HTTPConnection], *, token: str | None = None) -> None:
        """Send over what ``connect`` opens, as the holder of ``token``."""
        self._connect = connect
        self._token = token

    @classmethod
    def over_tls(
        cls, address: str, *, ca: Path, token: str | None = None, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> "Client":
        """Reach ``address`` (https://HOST:PORT), whose certificate must be signed by ``ca``."""
        host, _, port = address.removeprefix("https://").rpartition(":")

        def connect() -> http.client.HTTPConnection:
            context = ssl.create_default_context(cafile=str(ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            return http.client.HTTPSConnection(host, int(port), timeout=timeout_seconds, context=context)

        return cls(connect, token=token)

    @classmethod
    def over_socket(cls, path: Path, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> "Client":
        """Reach the Unix socket ``path``."""
        return cls(lambda: _UnixConnection(path, timeout_seconds))

    def with_token(self, token: str) -> "Client":
        """Return the same client as the holder of ``token``."""
        return Client(self._connect, token=token)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request to ``/v1/path`` and return the decoded answer ({} for an empty one).

        Raises:
            UnreachableError: If there is no answer.
            RefusedError: If the answer is an error.
        """
        headers = {"X-Vault-Request": "true"} | ({"X-Vault-Token": self._token} if self._token else {})
        payload = None if body is None else json.dumps(body).encode()
        try:
            connection = self._connect()
            try:
                connection.request(method, f"/v1/{path}", body=payload, headers=headers)
                response = connection.getresponse()
                status, data = response.status, response.read(_MAX_ANSWER_BYTES)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                f"OpenBao does not answer ({type(error).__name__})", fix="run keyrung dev up"
            ) from error
        return _decode(status, data, f"{method} {path}")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        """Connect through the folder's descriptor: a socket's path is limited to 107 bytes, a project's is not."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def _decode(status: int, data: bytes, request: str) -> dict[str, Any]:
    try:
        answer = json.loads(data) if data else {}
    except ValueError:
        answer = {}
    if status >= http.client.BAD_REQUEST:
        errors = answer.get("errors") if isinstance(answer, dict) else None
        reason = "; ".join(" ".join(str(error).split()) for error in errors) if errors else f"status {status}"
        raise RefusedError(f"OpenBao refused {request} ({reason})", fix="run keyrung dev up", status=status)
    if not isinstance(answer, dict):
        raise UnreachableError(f"OpenBao's answer to {request} is not an object", fix="run keyrung dev up")
    return answer
