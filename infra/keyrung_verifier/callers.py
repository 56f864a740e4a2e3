"""Which application is calling: HTTP Basic with a client id and secret (RFC 6749 section 2.3.1)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from keyrung_verifier.errors import CallerRefusedError, ConfigurationError

SCHEME = "basic "
# Longest Authorization header that is looked at.
MAX_HEADER_CHARS = 2048
# Shortest client secret a deployment may use; generated ones have 256 bits.
MIN_SECRET_CHARS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application that may ask; assertions made for it name `audience`."""

    client_id: str
    audience: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client that has authenticated."""

    client_id: str
    audience: str


class CallerRegistry:
    """The clients of a deployment."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = {client.client_id: client for client in clients}
        if not clients or len(self._clients) != len(clients):
            raise ConfigurationError("the clients are none, or two share an id; give each application an id of its own")
        for client in clients:
            if len(client.secret) < MIN_SECRET_CHARS:
                raise ConfigurationError(
                    f"the secret of client {client.client_id} is shorter than {MIN_SECRET_CHARS} characters;"
                    " generate a random one"
                )

    def authenticate(self, authorization: str | None) -> Caller:
        """Return the caller behind an Authorization header.

        Raises:
            CallerRefusedError: The header is missing or malformed, the client unknown, or the secret wrong.
        """
        client_id, secret = _credentials(authorization)
        client = self._clients.get(client_id)
        # Compared even for an unknown client, over digests of one length, so that time tells nothing.
        expected = client.secret if client is not None else ""
        matches = hmac.compare_digest(_digest(secret), _digest(expected))
        if client is None:
            raise CallerRefusedError("unknown_client")
        if not matches:
            raise CallerRefusedError("wrong_secret")
        return Caller(client_id=client.client_id, audience=client.audience)


def _credentials(authorization: str | None) -> tuple[str, str]:
    if authorization is None:
        raise CallerRefusedError("no_credentials")
    if len(authorization) > MAX_HEADER_CHARS or authorization[: len(SCHEME)].lower() != SCHEME:
        raise CallerRefusedError("malformed_credentials")
    try:
        text = base64.b64decode(authorization[len(SCHEME) :].encode("ascii"), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise CallerRefusedError("malformed_credentials") from None
    name, colon, secret = text.partition(":")
    if not colon:
        raise CallerRefusedError("malformed_credentials")
    # Both parts are form-encoded first (RFC 6749 section 2.3.1 and appendix B).
    return unquote_plus(name), unquote_plus(secret)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()
