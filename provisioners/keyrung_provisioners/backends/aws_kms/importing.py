"""Keys of other stores that enter KMS: a KMS key of origin EXTERNAL takes their material in, wrapped to a key of KMS.

The KMS key is made when the offer is, with the claim as its tag; it gets its alias when it is whole.
"""

import base64

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import Algorithm
from keyrung_provisioners.api import ImportOffer, KeySpec
from keyrung_provisioners.backends.aws_kms import keys
from keyrung_provisioners.backends.aws_kms.connection import Connection
from keyrung_provisioners.errors import InvalidSettingError, KeyConflictError, KeyRefusedError

# RSA-OAEP of an AES key, then AES-KWP by it: the layout that the other stores make ("Wrapping algorithm" in the KMS
# developer guide, section "Importing key material").
_WRAPPING = {"SHA-1": "RSA_AES_KEY_WRAP_SHA_1", "SHA-256": "RSA_AES_KEY_WRAP_SHA_256"}
_WRAPPING_KEY = "RSA_4096"  # the strongest there is
_SEPARATOR = " "  # in no key id and no base64


def offer(kms: Connection, spec: KeySpec, row: Algorithm, *, hash_name: str, policy: str | None) -> ImportOffer:
    """Return a wrapping key of KMS and the token that belongs to it, good for 24 hours, for a KMS key of this claim."""
    if hash_name not in _WRAPPING:
        raise InvalidSettingError(
            f"keys do not enter KMS by RSA-OAEP with {hash_name!r}", fix=f"use {' or '.join(_WRAPPING)}"
        )
    key_id = keys.left_over(kms, spec, row, origin=keys.EXTERNAL) or keys.generate(
        kms, spec, row, origin=keys.EXTERNAL, policy=policy
    )
    pem, token = kms.settled(
        lambda: kms.ask(
            "get_parameters_for_import",
            lambda answer: (encoding.public_pem_from_der(answer["PublicKey"]), bytes(answer["ImportToken"])),
            region=spec.uri.vault,
            what=str(spec.uri),
            KeyId=key_id,
            WrappingAlgorithm=_WRAPPING[hash_name],
            WrappingKeySpec=_WRAPPING_KEY,
        )
    )
    reference = f"{key_id}{_SEPARATOR}{base64.b64encode(token).decode('ascii')}"
    return ImportOffer(public_key_pem=pem, hash_name=hash_name, reference=reference)


def receive(kms: Connection, spec: KeySpec, made: ImportOffer, wrapped: bytes) -> None:
    """Import the material for good, then put the alias on the key; what is refused leaves no living key behind."""
    key_id, token = _parsed(made)
    try:
        kms.tell(
            "import_key_material",
            region=spec.uri.vault,
            what=str(spec.uri),
            KeyId=key_id,
            ImportToken=token,
            EncryptedKeyMaterial=wrapped,
            ExpirationModel=keys.FOR_GOOD,
        )
        keys.put_alias(kms, spec.uri, key_id)
    except (KeyConflictError, KeyRefusedError):
        keys.schedule_deletion(kms, spec.uri, key_id)
        raise


def _parsed(made: ImportOffer) -> tuple[str, bytes]:
    key_id, separator, token = made.reference.partition(_SEPARATOR)
    try:
        if key_id and separator:
            return key_id, base64.b64decode(token, validate=True)
    except ValueError:
        pass
    raise InvalidSettingError("the offer is none that KMS made", fix="ask KMS for a new one")
