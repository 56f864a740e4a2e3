"""The copy of a portable key: it goes from store to store wrapped, and signs there before anybody uses the key.

Both copies are one identity, so they have one row in the inventory, are checked together and destroyed together.
"""

from typing import cast

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import (
    Capability,
    Custody,
    Exporting,
    KeyDescription,
    KeyManager,
    KeySpec,
    Receiving,
    Signing,
)
from keyrung_provisioners.checks import describe_or_none, foreign, refuse_weak
from keyrung_provisioners.errors import KeyAlteredError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.inventory import Claim, KeyRow

CHALLENGE_BYTES = 32
# What a copy signs to prove itself begins like this, so that it can never pass for anything else.
_PROOF_LABEL = b"keyrung proof of a copy v1\x00"


def refuse_unable(claim: Claim, source: KeyManager, target: KeyManager) -> None:
    """Refuse a copy that the two stores cannot make, before anything is claimed.

    Raises:
        KeyRefusedError: If one of them lacks the ability, or the key could not prove itself by a signature.
    """
    if claim.escrowed or claim.copy_to == claim.uri or algorithm(claim.algorithm).symmetric:
        raise KeyRefusedError(
            f"{claim.uri} cannot be portable: such a key signs, has no escrow, and its copy stands elsewhere",
            fix="declare either the copy or the escrow, and a signing algorithm",
            uri=str(claim.uri),
        )
    if Capability.EXPORTING not in source.capabilities:
        raise KeyRefusedError(
            f"{source.scheme}: keys cannot leave their store", fix="make it in a PKCS#11 token", uri=str(claim.uri)
        )
    if not {Capability.RECEIVING, Capability.SIGNING} <= target.capabilities:
        raise KeyRefusedError(
            f"{target.scheme}: takes no keys of other stores", fix="copy it into Transit or KMS", uri=str(claim.copy_to)
        )


def ensure_copy(row: KeyRow, source: KeyManager, target: KeyManager, *, challenge: bytes) -> KeyDescription:
    """Return the copy of the row's key as its store has it, made now or by an earlier, interrupted run, and proven.

    Raises:
        KeyConflictError: If another key stands in its place.
        KeyAlteredError: If its signature over ``challenge`` does not verify under the recorded public key.
    """
    spec = _spec(row)
    found = describe_or_none(target, spec.uri)
    if found is None:
        source_of, store = cast(Exporting, source), cast(Receiving, target)
        offer = store.offer(spec, hash_name=source_of.export_hash(row.claim.uri.vault_uri))
        found = store.receive(spec, offer, source_of.export(row.claim.uri, offer))
    if found.fingerprint != row.fingerprint:
        raise foreign(spec.uri)
    refuse_weak(spec, found, target)
    text = _PROOF_LABEL + challenge
    if not encoding.verifies(row.public_key_pem or "", text, cast(Signing, target).sign(spec.uri, text)):
        raise KeyAlteredError(
            f"the copy {spec.uri} does not sign as {row.fingerprint}",
            fix="find out what stands there; nothing will use it",
            uri=str(spec.uri),
            recorded=row.fingerprint or "none",
        )
    return found


def check_copy(row: KeyRow, target: KeyManager) -> KeyDescription:
    """Return what the copy's store holds, if it is exactly the recorded key.

    Raises:
        KeyMissingError: If it is gone.
        KeyAlteredError: If another key stands there, or an attribute got weaker.
    """
    spec = _spec(row)
    found = describe_or_none(target, spec.uri)
    if found is None:
        raise KeyMissingError(
            f"{spec.uri}, the copy of {row.claim.uri}, is gone from its store",
            fix="raise `generation`: a locked key cannot be copied again",
            uri=str(spec.uri),
            recorded=row.fingerprint or "none",
            found="none",
        )
    weak = [] if found.fingerprint == row.fingerprint else ["thumbprint"]
    weak += target.deviations(spec, found)
    if weak:
        raise KeyAlteredError(
            f"{spec.uri}, the copy of {row.claim.uri} (thumbprint {row.fingerprint}, found {found.fingerprint}), "
            f"no longer holds in {', '.join(weak)}",
            fix="treat the key as exposed and raise `generation`",
            uri=str(spec.uri),
            attributes=",".join(weak),
        )
    return found


def remove_copy(row: KeyRow, target: KeyManager) -> None:
    """Destroy the copy; gone already, or never made, counts as done. Raises `KeyConflictError` for another key."""
    uri = _spec(row).uri
    found = describe_or_none(target, uri)
    if found is None or row.fingerprint is None:
        return
    if found.fingerprint != row.fingerprint:
        raise foreign(uri)
    target.destroy(uri)


def _spec(row: KeyRow) -> KeySpec:
    claim = row.claim
    if claim.copy_to is None:
        raise KeyRefusedError(f"{claim.uri} is not portable", fix="declare where its copy stands", uri=str(claim.uri))
    return KeySpec(
        uri=claim.copy_to,
        algorithm=claim.algorithm,
        purpose=claim.purpose,
        claim_id=row.claim_id,
        custody=Custody.COPIED,
    )
