"""Two ways to a token: one that somebody else keeps in a file, and AppRole, by which a machine logs in itself."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from hvac.exceptions import Forbidden, InvalidRequest, Unauthorized

from keyrung_provisioners.errors import BackendUnavailableError, InvalidSettingError
from keyrung_provisioners.sources import resolve

# A token is renewed when this much of its life is over: early enough for a slow server, late enough to be rare.
_RENEW_AFTER = 2 / 3


class Login(Protocol):
    """Where tokens come from."""

    def token(self, client: Any) -> str:
        """Return a token that is good now; ``client`` (hvac) may be asked for one."""
        ...

    def is_good(self, token: str) -> bool:
        """Return whether ``token`` need not be asked for anew."""
        ...

    def refused(self) -> None:
        """Learn that the server did not accept the token."""
        ...


class StoredToken:
    """A token that somebody else keeps good; it is read again for each new connection."""

    def __init__(self, read: Callable[[], str]) -> None:
        """Use what ``read`` returns."""
        self._read = read

    def token(self, client: Any) -> str:
        """Return the token as it stands there now."""
        return _checked(self._read())

    def is_good(self, token: str) -> bool:
        """Return true: only the server can say otherwise."""
        return True

    def refused(self) -> None:
        """Do nothing: the next connection reads it again."""


class AppRole:
    """A login by role id and secret id; one token for all threads, renewed before it expires, else taken anew.

    The secret id is read for each login and kept nowhere, so one that was replaced is found.
    """

    def __init__(
        self, *, role_id: Callable[[], str], secret_id: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Log in as what ``role_id`` and ``secret_id`` return; ``clock`` counts seconds."""
        self._role_id = role_id
        self._secret_id = secret_id
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._lock = threading.Lock()

    def token(self, client: Any) -> str:
        """Return the present token, renewed or taken anew if it is due."""
        with self._lock:
            if not self._is_fresh():
                try:
                    auth = (self._renewed(client) if self._token else None) or self._login(client)
                    self._token = _checked(str(auth["client_token"]))
                    self._renew_at = self._clock() + _RENEW_AFTER * int(auth["lease_duration"])
                except (KeyError, TypeError, ValueError) as error:
                    raise BackendUnavailableError(
                        "the vault answered something else than a login", fix="check transitAddress"
                    ) from error
            return self._token

    def is_good(self, token: str) -> bool:
        """Return whether ``token`` is the present one and not due."""
        return token == self._token and self._is_fresh()

    def refused(self) -> None:
        """Forget the token, so that the next call logs in."""
        with self._lock:
            self._token = ""

    def _is_fresh(self) -> bool:
        return bool(self._token) and self._clock() < self._renew_at

    def _renewed(self, client: Any) -> Mapping[str, Any] | None:
        """Return the token's next lease; None when it is over, or has come to its longest life."""
        client.token = self._token
        try:
            auth: Mapping[str, Any] = client.adapter.post(url="/v1/auth/token/renew-self")["auth"]
        except (Forbidden, InvalidRequest, Unauthorized):
            return None
        return auth if auth["lease_duration"] > 0 else None

    def _login(self, client: Any) -> Mapping[str, Any]:
        client.token = None
        body = {"role_id": self._role_id(), "secret_id": self._secret_id()}
        try:
            auth: Mapping[str, Any] = client.adapter.post(url="/v1/auth/approle/login", json=body)["auth"]
        except (Forbidden, InvalidRequest, Unauthorized) as error:
            raise BackendUnavailableError(
                "the vault does not accept the role id with this secret id",
                fix="make a new secret id and write it where transitSecretId refers to",
            ) from error
        return auth


def declared_login(settings: Mapping[str, str], *, root: Path) -> Login:
    """Return the login that ``settings`` declare: a token, or a role by both its ids."""
    by_role = bool(settings.get("transitRoleId") or settings.get("transitSecretId"))
    if by_role and settings.get("transitToken"):
        raise InvalidSettingError("both a token and a role are set", fix="leave transitToken or transitRoleId out")
    for name in ("transitRoleId", "transitSecretId") if by_role else ("transitToken",):
        if not settings.get(name):
            raise InvalidSettingError(f"{name} is not set", fix=f"set keyrung:{name} in the stack's configuration")
    if not by_role:
        return StoredToken(partial(resolve, settings["transitToken"], root=root, secret=True))
    return AppRole(
        role_id=partial(resolve, settings["transitRoleId"], root=root),
        secret_id=partial(resolve, settings["transitSecretId"], root=root, secret=True),
    )


def _checked(token: str) -> str:
    """Return ``token``; requests would put one that is no header value into its error."""
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InvalidSettingError("the vault's token is malformed", fix="write the token alone on one line")
    return token
