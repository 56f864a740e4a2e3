"""The proof that a restored key is the recorded one.

A pair signs a fresh text, and the recorded public key agrees. A symmetric key has no public half: its store makes the
key's fingerprint anew, an encryption of a fixed block, and that equals the recorded one.
"""

from typing import cast

from keyrung_provisioners import encoding
from keyrung_provisioners.api import Importing, KeyDescription, KeyManager, Signing, WrappedKey
from keyrung_provisioners.errors import KeyAlteredError
from keyrung_provisioners.uri import VaultUri

_LABEL = b"keyrung escrow proof v1\x00"
CHALLENGE_BYTES = 32


def text(challenge: bytes) -> bytes:
    """Return what a restored key signs; the label keeps it from being anything else."""
    return _LABEL + challenge


def rehearse(
    wrapped: WrappedKey, importing: Importing, vault: VaultUri, wrapping_key: bytearray, *, challenge: bytes
) -> None:
    """Open ``wrapped`` in ``vault`` for a moment; raise `KeyAlteredError` unless it is the key that it says it is."""
    shown = importing.rehearse(vault, wrapped, wrapping_key, text(challenge))
    if wrapped.public_key_pem is None:
        _check_fingerprint(wrapped, shown.decode("ascii", errors="replace"))
    else:
        _check_signature(wrapped, wrapped.public_key_pem, challenge, shown)


def check_restored(wrapped: WrappedKey, found: KeyDescription, manager: KeyManager, *, challenge: bytes) -> None:
    """Raise `KeyAlteredError` unless ``found``, just read back from its store, is the key that was wrapped."""
    if wrapped.public_key_pem is None:
        _check_fingerprint(wrapped, found.fingerprint)
    else:
        signature = cast(Signing, manager).sign(found.uri, text(challenge))
        _check_signature(wrapped, wrapped.public_key_pem, challenge, signature)


def _check_fingerprint(wrapped: WrappedKey, shown: str) -> None:
    if shown != wrapped.fingerprint:
        raise _altered(wrapped, f"its fingerprint is {shown}")


def _check_signature(wrapped: WrappedKey, public_key_pem: str, challenge: bytes, signature: bytes) -> None:
    if not encoding.verifies(public_key_pem, text(challenge), signature):
        raise _altered(wrapped, "its signature does not fit the recorded public key")


def _altered(wrapped: WrappedKey, why: str) -> KeyAlteredError:
    return KeyAlteredError(
        f"the restored key is not the recorded one: {why}",
        fix="use the envelope that belongs to the key",
        recorded=wrapped.fingerprint,
    )
