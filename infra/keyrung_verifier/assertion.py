"""The step-up assertion: a short JWT that says who did what to reach which level for which request.

Signing and checking are written out over one fixed form instead of through a general JOSE library: with the exact
header, exact claims and a key that carries its algorithm, what is left of JOSE is one signature check, and general
readers accept a wrong `typ`, repeated members and unknown `crit`. An independent library checks the result in tests.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from keyrung_policies import jws
from keyrung_policies.canonical import canonical_bytes, canonical_record
from keyrung_policies.model import BINDINGS, Batch, Binding
from keyrung_verifier.errors import AssertionInvalidError, MalformedRequestError, SigningFailedError, StrictFormError
from keyrung_verifier.limits import (
    CLOCK_SKEW_SECONDS,
    MAX_ASSERTION_BYTES,
    MAX_ASSERTION_TTL_SECONDS,
    MAX_ID_CHARS,
    MAX_URI_CHARS,
)
from keyrung_verifier.protocols import Signer
from keyrung_verifier.strict import SHA256_BYTES, convert, decode_base64url, length_prefixed, parse_object

# What an application needs beside the functions: the errors they raise and the one setting for two clocks.
__all__ = [
    "CLOCK_SKEW_SECONDS",
    "TYPE",
    "AssertionInvalidError",
    "Claims",
    "MalformedRequestError",
    "SigningFailedError",
    "request_digest",
    "sign",
    "sign_checked",
    "verify",
]

TYPE = "stepup+jwt"
# One JOSE header, three members: everything else is refused (RFC 8725 section 3.10, RFC 7515 section 4.1.11).
HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})
REQUEST_LABEL = "keyrung request v1"
JWS_PARTS = 3
# Methods are case-sensitive tokens (RFC 9110 section 9.1); all registered ones are upper-case letters and dashes.
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}", re.ASCII)
# Printable ASCII without space, quotes and fragment: what can stand in a request line (RFC 3986 section 2).
_URI = re.compile(r"[!$-~]+", re.ASCII)

Text = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
Seconds = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Confirmation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key that whoever uses the assertion must prove to hold, by its thumbprint (RFC 9449 section 6.1)."""

    jkt: Text


class Claims(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an assertion states; times are Unix seconds.

    Attributes:
        aud: The one audience (RFC 8725 section 3.9).
        sid: The session in which the step-up happened.
        auth_time: When the factor was used (RFC 9470 section 6).
        acr: The level that was reached, not the one that was asked for.
        amr: What was done (RFC 8176).
        request_digest: The parts of the request that `bind` names (see the function of this name).
        bind: Those parts; empty where the rule binds none.
        single_use: Whether it pays for one request only.
        batch: For how many requests it pays at most; with neither, it pays until its end.
        cnf: The key of the session, where it has one.
    """

    iss: Annotated[str, Meta(min_length=1, max_length=2048)]
    aud: Annotated[str, Meta(min_length=1, max_length=2048)]
    sub: Text
    sid: Text
    iat: Seconds
    nbf: Seconds
    exp: Seconds
    jti: Text
    auth_time: Seconds
    acr: Text
    amr: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=8)]
    request_digest: Text
    bind: tuple[Binding, ...]
    policy_digest: Text
    action: Text
    single_use: bool
    batch: Batch | UnsetType = UNSET
    cnf: Confirmation | UnsetType = UNSET

    def jkt(self) -> str | None:
        """Return the thumbprint of the key it is bound to, or None."""
        return None if isinstance(self.cnf, UnsetType) else self.cnf.jkt

    def uses(self) -> int | None:
        """Return how many requests it pays for, or None for any number."""
        if self.single_use:
            return 1
        return None if isinstance(self.batch, UnsetType) else self.batch.count


def request_digest(method: str, uri: str, body_sha256: str, *, bind: Collection[Binding] = BINDINGS) -> str:
    """Return the one text that stands for a request's bound parts: base64url of SHA-256 over them, length-prefixed.

    Args:
        method: The HTTP method as it is sent.
        uri: The absolute URI as it is sent, without fragment.
        body_sha256: base64url of SHA-256 over the body's bytes.
        bind: The parts that count; the others are read as strictly and left out.

    Raises:
        MalformedRequestError: A part does not have its one form.
    """
    if _METHOD.fullmatch(method) is None:
        raise MalformedRequestError("method_form")
    if len(uri) > MAX_URI_CHARS or _URI.fullmatch(uri) is None:
        raise MalformedRequestError("uri_form")
    try:
        body_digest = decode_base64url(body_sha256, size_bytes=SHA256_BYTES)
    except StrictFormError as error:
        raise MalformedRequestError("body_digest_form") from error
    # A part that is left out has no bytes, which no part that is bound can have.
    parts: dict[Binding, str | bytes] = {"method": method, "uri": uri, "body": body_digest}
    text = length_prefixed(REQUEST_LABEL, *(part if name in bind else b"" for name, part in parts.items()))
    return jws.encode_base64url(hashlib.sha256(text).digest())


def sign(claims: Claims, signer: Signer) -> str:
    """Return the assertion as a compact JWS.

    Raises:
        SigningFailedError: The key failed, or what it returned does not verify under its own public half.
    """
    if not 0 < claims.exp - claims.iat <= MAX_ASSERTION_TTL_SECONDS:
        raise SigningFailedError("the assertion's life is out of bounds; correct the verifier's settings")
    header = canonical_bytes({"alg": signer.algorithm, "kid": signer.key_id, "typ": TYPE})
    payload = canonical_record(claims)
    signing_input = f"{jws.encode_base64url(header)}.{jws.encode_base64url(payload)}"
    signature = sign_checked(signer, signing_input.encode("ascii"))
    return f"{signing_input}.{jws.encode_base64url(signature)}"


def sign_checked(signer: Signer, data: bytes) -> bytes:
    """Return the signature after it verified under the signer's public key.

    Raises:
        SigningFailedError: It did not, or the signer could not sign.
    """
    try:
        signature = signer.sign(data)
    except Exception as error:  # whatever a key store raises, the outcome is the same: no signature
        raise SigningFailedError("the signing key is out of reach; check its store and its credentials") from error
    if jws.key_algorithm(signer.public_jwk) != signer.algorithm or not jws.signature_fits(
        signer.public_jwk, signing_input=data, signature=signature
    ):
        raise SigningFailedError(
            "the signing key gave a wrong signature; check that its generation is the declared one"
        )
    return signature


def verify(
    text: str,
    *,
    keys: Mapping[str, Mapping[str, str]],
    issuer: str,
    audience: str,
    now: datetime,
    skew_seconds: int = CLOCK_SKEW_SECONDS,
) -> Claims:
    """Return the claims of an assertion that holds every check.

    Args:
        text: The compact JWS.
        keys: Key id to public JWK; nothing in the assertion can add to it.
        issuer: The exact issuer.
        audience: The exact audience.
        now: The present moment, aware.
        skew_seconds: How far the issuer's clock may be ahead of ours; it never lengthens an assertion's life.

    Raises:
        AssertionInvalidError: A check failed; `reason` says which.
    """
    if len(text) > MAX_ASSERTION_BYTES:
        raise AssertionInvalidError("too_long")
    try:
        payload = _verified_payload(text, keys)
        claims = convert(parse_object(payload), Claims)
    except StrictFormError as error:
        raise AssertionInvalidError(error.reason) from error
    if claims.iss != issuer:  # RFC 8725 section 3.8
        raise AssertionInvalidError("issuer")
    if claims.aud != audience:  # RFC 8725 section 3.9
        raise AssertionInvalidError("audience")
    _check_times(claims, now_seconds=now.timestamp(), skew_seconds=skew_seconds)
    return claims


def _verified_payload(text: str, keys: Mapping[str, Mapping[str, str]]) -> bytes:
    parts = text.split(".")
    if len(parts) != JWS_PARTS:
        raise AssertionInvalidError("not_compact")
    header = parse_object(decode_base64url(parts[0]))
    if header.keys() != HEADER_MEMBERS:
        raise AssertionInvalidError("header_members")
    if header["typ"] != TYPE:  # RFC 8725 section 3.11
        raise AssertionInvalidError("type")
    key_id = header["kid"]
    key = keys.get(key_id) if isinstance(key_id, str) else None
    if key is None:
        raise AssertionInvalidError("unknown_key")
    # RFC 8725 sections 3.1 and 3.2: the algorithm is the key's; the header can only repeat it.
    algorithm = jws.key_algorithm(key)
    if algorithm is None or header["alg"] != algorithm:
        raise AssertionInvalidError("algorithm")
    payload, signature = decode_base64url(parts[1]), decode_base64url(parts[2])
    if not jws.signature_fits(key, signing_input=f"{parts[0]}.{parts[1]}".encode("ascii"), signature=signature):
        raise AssertionInvalidError("signature")
    return payload


def _check_times(claims: Claims, *, now_seconds: float, skew_seconds: int) -> None:
    if not 0 <= skew_seconds <= CLOCK_SKEW_SECONDS:
        raise AssertionInvalidError("skew_setting")
    if not 0 < claims.exp - claims.iat <= MAX_ASSERTION_TTL_SECONDS:
        raise AssertionInvalidError("life")
    if now_seconds >= claims.exp:  # RFC 7519 section 4.1.4: on or after
        raise AssertionInvalidError("expired")
    if max(claims.iat, claims.nbf, claims.auth_time) > now_seconds + skew_seconds:
        raise AssertionInvalidError("not_yet_valid")
