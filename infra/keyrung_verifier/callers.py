"""Which application is calling.

Either it proves a secret by HTTP Basic (RFC 6749 section 2.3.1), or the platform has authenticated it already and says
which IAM role or user it is; a client is configured with one of the two.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from keyrung_verifier.errors import CallerRefusedError, ConfigurationError
from keyrung_verifier.principals import calling_principal, configured_principal

SCHEME = "basic "
# Longest Authorization header that is looked at.
MAX_HEADER_CHARS = 2048
# Shortest client secret a deployment may use; generated ones have 256 bits.
MIN_SECRET_CHARS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application that may ask; assertions made for it name `audience`.

    Attributes:
        secret: What it proves by HTTP Basic.
        principal_arn: In place of a secret, the IAM role or user that it calls as.
    """

    client_id: str
    audience: str
    secret: str = field(default="", repr=False)
    principal_arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client that has authenticated."""

    client_id: str
    audience: str


class CallerRegistry:
    """The clients of a deployment."""

    def __init__(self, clients: Sequence[Client]) -> None:
        if not clients or len({client.client_id for client in clients}) != len(clients):
            raise ConfigurationError("the clients are none, or two share an id; give each application an id of its own")
        self._secrets = {client.client_id: (client, _secret(client)) for client in clients if not client.principal_arn}
        vouched = [client for client in clients if client.principal_arn]
        self._principals = {configured_principal(client.principal_arn or ""): client for client in vouched}
        if len(self._principals) != len(vouched):
            raise ConfigurationError("two clients share a principal; give each application a role of its own")
        if any(client.secret for client in vouched):
            raise ConfigurationError("a client has a secret and a principal; give it one of the two")

    def authenticate(self, authorization: str | None, principal: str | None = None) -> Caller:
        """Return the caller behind an Authorization header, or behind the ARN that the platform vouches for.

        With a principal the header is the platform's business: it carries that request's signature.

        Raises:
            CallerRefusedError: The header is missing or malformed, the client unknown, or the secret wrong.
        """
        if principal is not None:
            return self._vouched(principal)
        client_id, secret = _credentials(authorization)
        # Compared even for an unknown client, over digests of one length, so that time tells nothing.
        client, expected = self._secrets.get(client_id, (None, ""))
        matches = hmac.compare_digest(_digest(secret), _digest(expected))
        if client is None:
            raise CallerRefusedError("unknown_client")
        if not matches:
            raise CallerRefusedError("wrong_secret")
        return Caller(client_id=client.client_id, audience=client.audience)

    def _vouched(self, principal: str) -> Caller:
        client = self._principals.get(calling_principal(principal))
        if client is None:
            raise CallerRefusedError("unknown_principal")
        return Caller(client_id=client.client_id, audience=client.audience)


def _secret(client: Client) -> str:
    if len(client.secret) < MIN_SECRET_CHARS:
        raise ConfigurationError(
            f"the secret of client {client.client_id} is shorter than {MIN_SECRET_CHARS} characters;"
            " generate a random one"
        )
    return client.secret


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
