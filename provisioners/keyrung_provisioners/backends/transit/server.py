"""The connection to one OpenBao or Vault server: TLS only, no redirects, and each failure one clear sentence."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import hvac
import requests
from hvac.exceptions import (
    Forbidden,
    InternalServerError,
    InvalidPath,
    InvalidRequest,
    Unauthorized,
    VaultDown,
    VaultError,
)

from keyrung_provisioners.backends.transit.login import Login
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyMissingError,
    KeyRefusedError,
    ProvisionerError,
)

T = TypeVar("T")

_NO_CONTENT = 204
# What an error says about the server; the first that fits counts.
_WHY: tuple[tuple[type[Exception], str], ...] = (
    (VaultDown, "is sealed or down"),
    (requests.exceptions.SSLError, "shows no certificate that {ca_file} vouches for"),
    (requests.exceptions.Timeout, "did not answer within {seconds:g} seconds"),
    (requests.exceptions.ConnectionError, "cannot be reached"),
)


class ForbiddenError(BackendUnavailableError):
    """The token is not valid or may not do this."""


class FailedError(BackendUnavailableError):
    """The server failed at a request; Transit also answers so when a key, or its version, cannot be used."""


class Server:
    """One server, with a connection for each thread; address and token are read anew after every failure."""

    def __init__(self, *, address: Callable[[], str], login: Login, ca_file: Path, timeout_seconds: float) -> None:
        """Reach the server at ``address``, whose certificate ``ca_file`` must vouch for, with tokens of ``login``."""
        self._address = address
        self._login = login
        self._ca_file = ca_file
        self._timeout_seconds = timeout_seconds
        self._local = threading.local()  # an HTTP session must not be shared between threads

    def ask(
        self,
        operation: str,
        request: Callable[[Any], Any],
        understand: Callable[[Mapping[str, Any]], T],
        *,
        what: str,
    ) -> T:
        """Return what ``understand`` makes of the answer's data.

        Args:
            operation: What is done, as a verb, for the error.
            request: Makes the one request, given an hvac client.
            understand: Reads the data; what it cannot read (KeyError, TypeError, ValueError) is no answer.
            what: The key or vault that is asked about.

        Raises:
            KeyMissingError: If the server knows no such path.
            KeyRefusedError: If the server refuses the request itself.
            BackendUnavailableError: If the server cannot be asked.
        """
        try:
            answer = request(self._client())
        except (VaultError, OSError) as error:  # the errors of requests are OSErrors
            self._forget()
            if isinstance(error, Forbidden | Unauthorized):
                self._login.refused()
            raise self._translated(error, operation, what) from error
        if isinstance(answer, requests.Response) and answer.status_code != _NO_CONTENT:
            self._forget()
            raise self._unavailable(
                f"answered with status {answer.status_code} where it should not; a redirect is never followed"
            )
        try:
            return understand({} if isinstance(answer, requests.Response) else answer["data"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._unavailable(f"answered something else than Transit does to {operation}") from error

    def send(self, operation: str, request: Callable[[Any], Any], *, what: str) -> None:
        """Make a request whose answer says nothing; raises what `ask` raises."""
        self.ask(operation, request, lambda _data: None, what=what)

    def _translated(self, error: Exception, operation: str, what: str) -> ProvisionerError:
        if isinstance(error, InvalidPath):
            return KeyMissingError(f"the vault holds no {what}", fix="check the vault", uri=what)
        if isinstance(error, InvalidRequest):
            return KeyRefusedError(
                f"the vault refused to {operation} {what}", fix="check what the key is for", uri=what
            )
        if isinstance(error, Forbidden | Unauthorized):
            return ForbiddenError(
                f"the vault refused to {operation} {what}: the token is invalid or lacks the permission",
                fix="renew it (locally: keyrung dev up)",
                operation=operation,
            )
        if isinstance(error, InternalServerError):
            return FailedError(
                f"the vault failed to {operation} {what}", fix="check its log and the key's state", operation=operation
            )
        why = next((text for kind, text in _WHY if isinstance(error, kind)), f"failed ({type(error).__name__})")
        return self._unavailable(why.format(ca_file=self._ca_file, seconds=self._timeout_seconds))

    def _unavailable(self, why: str) -> ProvisionerError:
        return BackendUnavailableError(
            f"the vault at {self._address()} {why}",
            fix="start or unseal it, check transitAddress and transitCaFile, and try again (locally: keyrung dev up)",
        )

    def _client(self) -> Any:
        """Return this thread's client; a forked child must not write into its parent's connection."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.client, self._local.pid = self._connected(), os.getpid()
        client = self._local.client
        if not client.token or not self._login.is_good(client.token):
            client.token = self._login.token(client)
        return client

    def _connected(self) -> Any:
        if not self._ca_file.is_file():
            raise InvalidSettingError(
                "the vault's CA file is missing", fix="set keyrung:transitCaFile (locally: keyrung dev up)"
            )
        session = requests.Session()
        session.trust_env = False  # proxies, netrc and CA bundles of the environment have no say
        session.verify = str(self._ca_file)
        return hvac.Client(
            url=_checked_address(self._address()),
            token="",  # without one, hvac would look for one in the environment and in the home folder
            session=session,
            timeout=self._timeout_seconds,
            allow_redirects=False,  # requests would carry the token header along to any other host
        )

    def _forget(self) -> None:
        if getattr(self._local, "pid", None) == os.getpid():
            self._local.client.adapter.close()
        self._local.pid = None


def _checked_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        bare = parts.scheme == "https" and parts.hostname and not (parts.query or parts.fragment or "@" in parts.netloc)
        parts.port  # noqa: B018 - raises when it is no number
    except ValueError:
        bare = False
    if not bare or parts.path not in {"", "/"}:
        raise InvalidSettingError("transitAddress is no plain https address", fix="write it as https://HOST:PORT")
    return address
