"""Proof that a client holds the key that its session is bound to (RFC 9449), checked without asking anybody.

Pure: text, expected values and the time go in, facts come out. Whoever calls it remembers the proof as used, so that
it counts once (section 11.1).
"""

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import UNSET, Meta, Struct, UnsetType, field

from keyrung_policies import jws
from keyrung_verifier.errors import DpopInvalidError, StrictFormError
from keyrung_verifier.keys import public_members, thumbprint
from keyrung_verifier.limits import (
    DPOP_NONCE_BYTES,
    DPOP_NONCE_SECONDS,
    DPOP_PROOF_SECONDS,
    MAX_DPOP_PROOF_CHARS,
    MAX_ID_CHARS,
    MAX_URI_CHARS,
)
from keyrung_verifier.strict import convert, decode_base64url, length_prefixed, parse_object

# What the guard of an application needs beside the functions.
__all__ = ["DpopInvalidError", "Proof", "nonces_at", "presented_token", "token_sha256", "verify"]

TYPE = "dpop+jwt"
NONCE_LABEL = "keyrung dpop nonce v1"
JWS_PARTS = 3
_DEFAULT_PORTS = {"https": 443, "http": 80}
# RFC 9110 section 11.4: one scheme, one token68.
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z]+) +(?P<token>[A-Za-z0-9._~+/-]+=*)", re.ASCII)

Text = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]


class _Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    typ: str
    alg: str
    jwk: dict[str, str]


class _Claims(Struct, frozen=True, kw_only=True):
    """The claims of section 4.2; a client may state more, which nothing here reads."""

    jti: Text
    method: str = field(name="htm")
    url: Annotated[str, Meta(max_length=MAX_URI_CHARS)] = field(name="htu")
    iat: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    token_sha256: str | UnsetType = field(name="ath", default=UNSET)
    nonce: Text | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A good proof.

    Attributes:
        jkt: The RFC 7638 thumbprint of its key.
        jti: Its own name.
        counts_until_seconds: When it is too old, in Unix seconds.
    """

    jkt: str
    jti: str
    counts_until_seconds: int

    def key(self) -> str:
        """Return the text of one length by which a used proof is remembered: hex SHA-256."""
        return hashlib.sha256(length_prefixed(self.jkt, self.jti)).hexdigest()


def verify(
    text: str,
    *,
    method: str,
    url: str,
    jkt: str,
    nonces: Collection[str],
    now: datetime,
    token_sha256: str | None = None,
) -> Proof:
    """Return the facts of a proof that holds every check of section 4.3; the numbers in the code are those of its list.

    Args:
        text: The value of the DPoP header; what a shell joins of several is refused.
        method: The method of the request at hand.
        url: Its URL as the client knows it, made from the configured public URL and never from a Host header.
        jkt: The thumbprint of the key that must have signed.
        nonces: Those that count now.
        now: The present moment, aware.
        token_sha256: base64url of SHA-256 over the access token that came along, or None where there is none.

    Raises:
        DpopInvalidError: A check failed; `reason` says which, and is `nonce` where another nonce would help.
    """
    try:
        header, claims = _signed(text)
    except StrictFormError as error:
        raise DpopInvalidError(error.reason) from error
    if claims.method != method:  # 8
        raise DpopInvalidError("method")
    stated = _normal(claims.url)
    if stated is None or stated != _normal(url):  # 9
        raise DpopInvalidError("url")
    if claims.nonce not in nonces:  # 10
        raise DpopInvalidError("nonce")
    if abs(now.timestamp() - claims.iat) > DPOP_PROOF_SECONDS:  # 11
        raise DpopInvalidError("time")
    if token_sha256 is not None and claims.token_sha256 != token_sha256:  # 12, first half
        raise DpopInvalidError("token")
    found = thumbprint(header.jwk)
    if found != jkt:  # 12, second half
        raise DpopInvalidError("key")
    return Proof(jkt=found, jti=claims.jti, counts_until_seconds=claims.iat + DPOP_PROOF_SECONDS)


def nonces_at(key: bytes, now: datetime) -> tuple[str, str]:
    """Return the nonce to give out now, and the one before, which still counts: each is good for one to two periods.

    Args:
        key: Secret bytes that every process of the deployment shares.
        now: The present moment, aware.
    """
    period = int(now.timestamp()) // DPOP_NONCE_SECONDS
    return _nonce(key, period), _nonce(key, period - 1)


def presented_token(authorization: str, *, bound: bool) -> str:
    """Return the access token in an Authorization header.

    Args:
        authorization: The header's value.
        bound: Whether the session is bound to a key: then only the DPoP scheme will do (section 7.2), else only Bearer.

    Raises:
        DpopInvalidError: It is malformed, or the scheme is the other one.
    """
    found = _CREDENTIALS.fullmatch(authorization)
    if found is None or found["scheme"].lower() != ("dpop" if bound else "bearer"):
        raise DpopInvalidError("scheme")
    return found["token"]


def token_sha256(token: str) -> str:
    """Return what a proof states as `ath` of an access token (section 4.2)."""
    return jws.encode_base64url(hashlib.sha256(token.encode("ascii")).digest())


def _signed(text: str) -> tuple[_Header, _Claims]:
    parts = text.split(".")
    # 1 and 2: one header, and in it one compact JWS. Several are joined by a comma, which no base64url text has.
    if len(text) > MAX_DPOP_PROOF_CHARS or len(parts) != JWS_PARTS:
        raise DpopInvalidError("not_compact")
    header = convert(parse_object(decode_base64url(parts[0])), _Header)
    if header.typ != TYPE:  # 4
        raise DpopInvalidError("type")
    members = public_members(header.jwk)  # 7: a key with a private member is none
    if members is None:
        raise DpopInvalidError("key_form")
    if header.alg != jws.key_algorithm(members):  # 5: the one algorithm of the key, never `none`, never symmetric
        raise DpopInvalidError("algorithm")
    signing_input = f"{parts[0]}.{parts[1]}".encode("ascii")
    if not jws.signature_fits(members, signing_input=signing_input, signature=decode_base64url(parts[2])):  # 6
        raise DpopInvalidError("signature")
    return header, convert(parse_object(decode_base64url(parts[1])), _Claims)  # 3


def _normal(url: str) -> tuple[str, str, int, str] | None:
    """Return the URL without query and fragment, in the one spelling of its scheme (RFC 3986 section 6.2.3)."""
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    # Scheme and host come in lower case here; whoever names a user is talking about another place.
    if parts.username is not None or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port, parts.path or "/"


@lru_cache(maxsize=4)  # asked for with every answer, and the same for minutes
def _nonce(key: bytes, period: int) -> str:
    tag = hmac.new(key, length_prefixed(NONCE_LABEL, str(period)), hashlib.sha256).digest()
    return jws.encode_base64url(tag[:DPOP_NONCE_BYTES])
