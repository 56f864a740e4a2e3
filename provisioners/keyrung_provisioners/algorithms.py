"""One table from our algorithm names to those of the standards and stores; no other module spells them."""

from dataclasses import dataclass

from keyrung_provisioners.errors import InvalidSettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """What each standard and store calls one algorithm; None where it has no such thing.

    Attributes:
        jwa: Signature algorithm (RFC 7518 section 3.4, RFC 9864).
        hash_name: The hash that is signed.
        curve: Curve name as PKCS#11 parameters (RFC 5480) know it.
        transit: Transit key type.
        kms: AWS KMS key spec.
        kms_signing: AWS KMS signing algorithm.
    """

    name: str
    jwa: str | None = None
    hash_name: str | None = None
    curve: str | None = None
    transit: str
    kms: str
    kms_signing: str | None = None

    @property
    def symmetric(self) -> bool:
        """Whether there is no public half."""
        return self.jwa is None


_TABLE = (
    Algorithm(
        name="P-256",
        jwa="ES256",
        hash_name="SHA-256",
        curve="secp256r1",
        transit="ecdsa-p256",
        kms="ECC_NIST_P256",
        kms_signing="ECDSA_SHA_256",
    ),
    Algorithm(name="AES-256", transit="aes256-gcm96", kms="SYMMETRIC_DEFAULT"),
)
ALGORITHMS = {algorithm.name: algorithm for algorithm in _TABLE}


def algorithm(name: str) -> Algorithm:
    """Return the row called ``name``; raise `InvalidSettingError` for a name that is not in the table."""
    if name not in ALGORITHMS:
        raise InvalidSettingError(f"{name!r} is no known algorithm", fix=f"use one of {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]
