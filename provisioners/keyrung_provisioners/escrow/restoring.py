"""The way back: a key restored from its opened shares, into a token or, by way of one, into another store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import (
    Capability,
    Custody,
    Exporting,
    Importing,
    KeyDescription,
    KeyManager,
    KeySpec,
    Receiving,
)
from keyrung_provisioners.checks import describe_or_none
from keyrung_provisioners.errors import KeyConflictError, KeyRefusedError
from keyrung_provisioners.escrow import proof
from keyrung_provisioners.escrow.ceremony import TokenBytes, require
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.memory import erased_after
from keyrung_provisioners.escrow.quorum import wrapping_key
from keyrung_provisioners.escrow.share import OpenShare
from keyrung_provisioners.uri import KeyUri, VaultUri


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """A token where a key is opened for the moment that it takes to wrap it to another store."""

    manager: KeyManager
    vault: VaultUri


def restore(
    envelope: Envelope,
    shares: Sequence[OpenShare],
    manager: KeyManager,
    uri: KeyUri,
    *,
    token_bytes: TokenBytes,
    scratch: Scratch | None = None,
    reached: Callable[[str], None] = lambda _step: None,
) -> KeyDescription:
    """Return the key of ``envelope`` restored under ``uri`` and proven (see `proof`); there already counts as done.

    A store that cannot open escrowed keys itself (Transit, KMS) gets a pair from ``scratch``, where it is opened as a
    session object and wrapped to that store's own key; a symmetric key only a token can have back.
    ``reached`` is called with each step about to happen ("combine", "rehearse", "import", "prove").

    Raises:
        ShareRefusedError: If a share is wrong or too few are given; the store is not touched then.
        KeyRefusedError: If that store cannot have the key back.
        KeyConflictError: If another key stands under ``uri``.
        KeyAlteredError: If what is restored is not the recorded key; a rehearsal finds that before anything is stored.
    """
    symmetric = algorithm(envelope.key.wrapped.algorithm).symmetric
    require(manager, Capability.SEALING if symmetric else Capability.SIGNING)
    if symmetric and Capability.IMPORTING not in manager.capabilities:
        raise _not_for_sealing(uri)
    opener = Scratch(manager=manager, vault=uri.vault_uri)
    if Capability.IMPORTING not in manager.capabilities and scratch is not None:
        require(manager, Capability.RECEIVING)
        opener = scratch
    require(opener.manager, Capability.IMPORTING)
    importing, wrapped = cast(Importing, opener.manager), envelope.key.wrapped
    spec = KeySpec(
        uri=uri,
        algorithm=wrapped.algorithm,
        purpose=envelope.key.purpose,
        claim_id=wrapped.claim_id,
        custody=Custody.RESTORED,
    )
    reached("combine")
    with erased_after(wrapping_key(envelope, shares)) as secret:
        reached("rehearse")
        proof.rehearse(wrapped, importing, opener.vault, secret, challenge=token_bytes(proof.CHALLENGE_BYTES))
        reached("import")
        if opener.manager is manager:
            found = importing.import_wrapped(uri, wrapped, secret)
        else:
            found = _received(spec, envelope, manager, opener, secret)
    reached("prove")
    proof.check_restored(wrapped, found, manager, challenge=token_bytes(proof.CHALLENGE_BYTES))
    weak = manager.deviations(spec, found)
    if weak:
        raise KeyRefusedError(
            f"the key restored under {uri} falls short in {', '.join(weak)}", fix="check the store", uri=str(uri)
        )
    return found


def _received(
    spec: KeySpec, envelope: Envelope, manager: KeyManager, scratch: Scratch, secret: bytearray
) -> KeyDescription:
    """Return the key as the receiving store has it; there already counts as done."""
    found = describe_or_none(manager, spec.uri)
    if found is None:
        opener, store = cast(Importing, scratch.manager), cast(Receiving, manager)
        offer = store.offer(spec, hash_name=cast(Exporting, scratch.manager).export_hash(scratch.vault))
        found = store.receive(spec, offer, opener.forward(scratch.vault, envelope.key.wrapped, secret, offer))
    if found.fingerprint != envelope.key.fingerprint:
        raise KeyConflictError(
            f"another key stands under {spec.uri}", fix="restore under another name", uri=str(spec.uri)
        )
    return found


def _not_for_sealing(uri: KeyUri) -> KeyRefusedError:
    return KeyRefusedError(
        f"{uri.scheme}: seals in a form of its own, so the key could not open there what it sealed in its token",
        fix="restore it into a PKCS#11 token",
        uri=str(uri),
    )
