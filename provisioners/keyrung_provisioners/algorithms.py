"""One table from our algorithm names to those of the standards and stores; no other module spells them."""

from dataclasses import dataclass

from keyrung_provisioners.errors import InvalidSettingError, NotOfferedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """What each standard and store calls one algorithm; None where it has no such thing.

    Attributes:
        name: Ours; for a curve also the JWK's `crv` (RFC 7518 section 6.2.1.1, RFC 8037 section 2).
        kty: The JWK's key type (RFC 7518 section 6.1, RFC 8037 section 2).
        jwa: Signature algorithm (RFC 7518 sections 3.4 and 3.5, RFC 9864 section 2.2).
        cose: Signature or content encryption algorithm (RFC 9053 sections 2.1 and 4.1, RFC 8230 section 2, RFC 9864).
        hash_name: The hash that is signed; None where the algorithm takes the whole message (RFC 8032 section 5.1.6).
        signature_bytes: Length of a signature in JOSE form.
        curve: Curve name as PKCS#11 parameters (RFC 5480; PKCS#11 3.1 section 6.3.5) know it.
        bits: Size of the modulus, or of a symmetric key.
        pkcs11_key_type: The type without CKK_.
        pkcs11_generate: Mechanism of generation without CKM_.
        pkcs11_sign: Mechanism, without CKM_, that signs what is hashed already.
        transit: Transit key type.
        transit_hash: Transit's name of `hash_name`.
        kms: AWS KMS key spec.
        kms_signing: AWS KMS signing algorithm.
    """

    name: str
    kty: str
    jwa: str | None = None
    cose: int
    hash_name: str | None = None
    signature_bytes: int | None = None
    curve: str | None = None
    bits: int | None = None
    pkcs11_key_type: str
    pkcs11_generate: str
    pkcs11_sign: str | None = None
    transit: str
    transit_hash: str | None = None
    kms: str
    kms_signing: str | None = None

    @property
    def symmetric(self) -> bool:
        """Whether there is no public half."""
        return self.jwa is None


_TABLE = (
    Algorithm(
        name="P-256",
        kty="EC",
        jwa="ES256",
        cose=-7,
        hash_name="SHA-256",
        signature_bytes=64,
        curve="secp256r1",
        pkcs11_key_type="EC",
        pkcs11_generate="EC_KEY_PAIR_GEN",
        pkcs11_sign="ECDSA",
        transit="ecdsa-p256",
        transit_hash="sha2-256",
        kms="ECC_NIST_P256",
        kms_signing="ECDSA_SHA_256",
    ),
    Algorithm(
        name="P-384",
        kty="EC",
        jwa="ES384",
        cose=-35,
        hash_name="SHA-384",
        signature_bytes=96,
        curve="secp384r1",
        pkcs11_key_type="EC",
        pkcs11_generate="EC_KEY_PAIR_GEN",
        pkcs11_sign="ECDSA",
        transit="ecdsa-p384",
        transit_hash="sha2-384",
        kms="ECC_NIST_P384",
        kms_signing="ECDSA_SHA_384",
    ),
    Algorithm(
        name="Ed25519",
        kty="OKP",
        jwa="Ed25519",
        cose=-19,
        signature_bytes=64,
        curve="edwards25519",
        pkcs11_key_type="EC_EDWARDS",
        pkcs11_generate="EC_EDWARDS_KEY_PAIR_GEN",
        pkcs11_sign="EDDSA",
        transit="ed25519",
        kms="ECC_NIST_EDWARDS25519",
        kms_signing="ED25519_SHA_512",
    ),
    # RSASSA-PSS only; the salt is as long as the hash (RFC 7518 section 3.5).
    Algorithm(
        name="RSA-3072",
        kty="RSA",
        jwa="PS256",
        cose=-37,
        hash_name="SHA-256",
        signature_bytes=384,
        bits=3072,
        pkcs11_key_type="RSA",
        pkcs11_generate="RSA_PKCS_KEY_PAIR_GEN",
        pkcs11_sign="RSA_PKCS_PSS",
        transit="rsa-3072",
        transit_hash="sha2-256",
        kms="RSA_3072",
        kms_signing="RSASSA_PSS_SHA_256",
    ),
    Algorithm(
        name="AES-256",
        kty="oct",
        cose=3,  # AES-GCM with a 256-bit key and a 128-bit tag
        bits=256,
        pkcs11_key_type="AES",
        pkcs11_generate="AES_KEY_GEN",
        transit="aes256-gcm96",
        kms="SYMMETRIC_DEFAULT",
    ),
)
ALGORITHMS = {algorithm.name: algorithm for algorithm in _TABLE}


def algorithm(name: str) -> Algorithm:
    """Return the row called ``name``; raise `InvalidSettingError` for a name that is not in the table."""
    if name not in ALGORITHMS:
        raise InvalidSettingError(f"{name!r} is no known algorithm", fix=f"use one of {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]


def offered_algorithm(name: str, *, scheme: str, offered: frozenset[str]) -> Algorithm:
    """Return the row called ``name``; raise `NotOfferedError` unless it is among those that a back end states."""
    row = algorithm(name)
    if name not in offered:
        names = ", ".join(known for known in ALGORITHMS if known in offered)
        raise NotOfferedError(f"a {scheme}: key cannot be {name}", fix=f"use one of {names}", algorithm=name)
    return row
