"""Signed evidence of one key: what its store said when it was made. Checked with the audit key, without any log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keyrung_audit.canonical import JsonValue, decode_base64url, load_canonical
from keyrung_audit.errors import AuditError, NotCanonicalError
from keyrung_audit.keys import PublicKey

TYPE = "key-evidence+jws"
FORMAT = "key-evidence/v1"
MAX_EVIDENCE_BYTES = 64 * 1024  # a statement is about 2 KiB
_MEMBERS = {"payload", "protected", "signature"}
_HEADER_MEMBERS = {"alg", "kid", "typ"}
_STATEMENT_MEMBERS = {"keyrung", "how", "at", "owner", "claim_id", "key", "attributes", "store"}


class EvidenceError(AuditError):
    """The evidence can't be trusted; the sentence says why."""

    fix = "take the evidence from the inventory again, and give the public audit key of that time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a good signature says about a key, and which audit key made it."""

    statement: Mapping[str, JsonValue]
    signer: str


def open_evidence(data: bytes, keys: Sequence[PublicKey]) -> Evidence:
    """Return what the flattened JWS (RFC 7515 section 7.2.2) states, after its signature was checked.

    Raises:
        EvidenceError: The form is not exact, the signer is none of ``keys``, or the signature is wrong.
    """
    if len(data) > MAX_EVIDENCE_BYTES:
        raise EvidenceError(f"The evidence is longer than {MAX_EVIDENCE_BYTES} bytes.")
    try:
        jws = load_canonical(data.removesuffix(b"\n"))
        if not isinstance(jws, dict) or jws.keys() != _MEMBERS:
            raise EvidenceError("The evidence is no flattened JWS of payload, protected and signature.")
        payload, protected, signature = (str(jws[name]) for name in ("payload", "protected", "signature"))
        header = load_canonical(decode_base64url(protected))
        key = _signer(header, keys)
        if not key.verifies(decode_base64url(signature), f"{protected}.{payload}".encode("ascii")):
            raise EvidenceError("The signature under the evidence is wrong.")
        statement = load_canonical(decode_base64url(payload))
    except (UnicodeEncodeError, NotCanonicalError) as error:
        raise EvidenceError("The evidence is not JSON and base64url in their one spelling.") from error
    if not isinstance(statement, dict) or statement.keys() != _STATEMENT_MEMBERS or statement["keyrung"] != FORMAT:
        raise EvidenceError(f"The evidence states something else than {FORMAT}.")
    return Evidence(statement=statement, signer=key.key_id)


def _signer(header: JsonValue, keys: Sequence[PublicKey]) -> PublicKey:
    # The exact member set refuses `crit`, `jwk` and every other way to bring a key along (RFC 8725 section 3.10).
    if not isinstance(header, dict) or header.keys() != _HEADER_MEMBERS or header["typ"] != TYPE:
        raise EvidenceError(f"The header of the evidence must be exactly alg, kid and typ {TYPE}.")
    key = next((key for key in keys if key.key_id == header["kid"]), None)
    if key is None:
        raise EvidenceError("The evidence is signed by none of the given audit keys.")
    if header["alg"] != key.algorithm:  # RFC 8725 section 3.1: the key decides, never the header
        raise EvidenceError("The evidence names another algorithm than its key has.")
    return key
