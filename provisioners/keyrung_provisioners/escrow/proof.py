"""The proof that a restored key is the recorded one: it signs a fresh text, and the recorded public key agrees."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from keyrung_provisioners import encoding
from keyrung_provisioners.errors import KeyAlteredError

_LABEL = b"keyrung escrow proof v1\x00"
CHALLENGE_BYTES = 32


def text(challenge: bytes) -> bytes:
    """Return what a restored key signs; the label keeps it from being anything else."""
    return _LABEL + challenge


def check_signature(public_key_pem: str, challenge: bytes, signature: bytes) -> None:
    """Raise `KeyAlteredError` unless ``signature`` (raw r||s) is by the private half of ``public_key_pem``."""
    key = serialization.load_pem_public_key(public_key_pem.encode("ascii"))
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        key.verify(encode_dss_signature(r, s), text(challenge), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise KeyAlteredError(
            "the restored key is not the recorded one: its signature does not fit the recorded public key",
            fix="use the envelope that belongs to the key",
            recorded=encoding.thumbprint(public_key_pem),
        ) from error
