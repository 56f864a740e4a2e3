"""The proof that a restored key is the recorded one: it signs a fresh text, and the recorded public key agrees."""

from keyrung_provisioners import encoding
from keyrung_provisioners.errors import KeyAlteredError

_LABEL = b"keyrung escrow proof v1\x00"
CHALLENGE_BYTES = 32


def text(challenge: bytes) -> bytes:
    """Return what a restored key signs; the label keeps it from being anything else."""
    return _LABEL + challenge


def check_signature(public_key_pem: str, challenge: bytes, signature: bytes) -> None:
    """Raise `KeyAlteredError` unless ``signature`` (raw r||s) is by the private half of ``public_key_pem``."""
    if not encoding.verifies(public_key_pem, text(challenge), signature):
        raise KeyAlteredError(
            "the restored key is not the recorded one: its signature does not fit the recorded public key",
            fix="use the envelope that belongs to the key",
            recorded=encoding.thumbprint(public_key_pem),
        )
