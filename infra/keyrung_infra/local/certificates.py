"""The stack's own certificate authority, and the server certificates it signs.

The authority exists once per stack and is trusted by nobody but the stack's own programs, by file.
"""

from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyrung_infra.files import write_private

_AUTHORITY_DAYS = 3650
# Clients limit server certificates to 398 days (CA/Browser Forum Baseline Requirements 6.3.2).
_SERVER_DAYS = 397
_RENEW_DAYS = 30
# A clock that was just set back must not make a new certificate invalid.
_BACKDATE = timedelta(minutes=5)


def ensure_authority(certificate: Path, key: Path, *, now: datetime) -> bool:
    """Make the authority unless it is there, whole and valid; return whether it was made."""
    if _usable(certificate, key, now=now):
        return False
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Keyrung local stack")])
    signed = (
        _builder(name, name, private.public_key(), now=now, days=_AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .sign(private, hashes.SHA256())
    )
    # The certificate last: it is what makes the pair usable.
    write_private(key, _pem(private))
    write_private(certificate, signed.public_bytes(serialization.Encoding.PEM))
    return True


def ensure_server(certificate: Path, key: Path, *, authority: Path, authority_key: Path, now: datetime) -> bool:
    """Make a certificate for localhost unless a valid one of this authority is there; return whether it was made."""
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    if _usable(certificate, key, now=now, issuer=issuer):
        return False
    signer = serialization.load_pem_private_key(authority_key.read_bytes(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not an EC key")  # unreachable after _usable
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    signed = (
        _builder(name, issuer.subject, private.public_key(), now=now, days=_SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    write_private(key, _pem(private))
    write_private(certificate, signed.public_bytes(serialization.Encoding.PEM))
    return True


def _usable(certificate: Path, key: Path, *, now: datetime, issuer: x509.Certificate | None = None) -> bool:
    """Tell whether the pair belongs together, was signed by ``issuer`` (itself if None) and is valid long enough."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
        found.verify_directly_issued_by(issuer or found)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return (
        isinstance(private, ec.EllipticCurvePrivateKey)
        and private.public_key() == found.public_key()
        and found.not_valid_before_utc <= now
        and now + timedelta(days=_RENEW_DAYS) < found.not_valid_after_utc
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, *, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
