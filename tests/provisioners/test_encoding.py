"""Public keys and thumbprints against published examples and an independent library."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from keyrung_provisioners import encoding
from keyrung_provisioners.errors import KeyAlteredError

# RFC 7515, appendix A.3.1: an EC key on P-256.
_X = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
_Y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"


def _rfc_pem() -> str:
    key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": _X, "y": _Y})
    return key.as_pem(private=False).decode()


def test_the_jwk_of_the_rfc_7515_key_is_the_printed_one() -> None:
    assert encoding.public_jwk(_rfc_pem()) == {"kty": "EC", "crv": "P-256", "x": _X, "y": _Y}


def test_the_thumbprint_is_the_one_another_library_computes() -> None:
    key = ECKey.import_key(_rfc_pem())
    assert encoding.thumbprint(_rfc_pem()) == key.thumbprint()
    canonical = json.dumps({"crv": "P-256", "kty": "EC", "x": _X, "y": _Y}, separators=(",", ":")).encode()
    assert encoding.thumbprint(_rfc_pem()) == encoding.base64url(hashlib.sha256(canonical).digest())


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_point_is_read_with_and_without_its_octet_string(wrapped: bool) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    assert (
        encoding.public_pem_from_ec_point(bytes([0x04, len(point)]) + point if wrapped else point, "secp256r1") == pem
    )


@pytest.mark.parametrize("point", [b"", b"\x04" * 65, b"\x04\x41" + b"\x04" * 64, b"\x04" + b"\x01" * 64])
def test_a_point_off_the_curve_or_of_the_wrong_size_is_refused(point: bytes) -> None:
    with pytest.raises(KeyAlteredError):
        encoding.public_pem_from_ec_point(point, "secp256r1")


# RFC 7515, appendix A.3.1: the signature of that example, raw; its r has the top bit clear, its s has it set.
_RAW = encoding.from_base64url("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")


def test_the_der_of_the_rfc_7515_signature_becomes_the_printed_one() -> None:
    der = b"\x30\x45\x02\x20" + _RAW[:32] + b"\x02\x21\x00" + _RAW[32:]
    assert encoding.jose_from_der(der, "secp256r1") == _RAW


def test_short_numbers_are_filled_up_to_the_size_of_the_curve() -> None:
    assert (
        encoding.jose_from_der(bytes.fromhex("3006020101020102"), "secp256r1") == bytes(31) + b"\1" + bytes(31) + b"\2"
    )


@pytest.mark.parametrize("der", [b"", b"\x30", bytes(64), b"\x30\x26\x02\x21\x01" + bytes(32) + b"\x02\x01\x01"])
def test_what_is_no_signature_of_the_curve_is_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match="no signature"):
        encoding.jose_from_der(der, "secp256r1")


def test_der_of_a_public_key_becomes_its_pem_and_nothing_else_does() -> None:
    public = serialization.load_pem_public_key(_rfc_pem().encode())
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert encoding.thumbprint(encoding.public_pem_from_der(der)) == encoding.thumbprint(_rfc_pem())
    for wrong in (b"", der[:-1], b"no key"):
        with pytest.raises(ValueError, match="no public key"):
            encoding.public_pem_from_der(wrong)
