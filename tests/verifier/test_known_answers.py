"""Values that others published: RFC 4226, RFC 6238, RFC 7638, and what independent programs compute."""

import shutil
import subprocess

import pyotp
import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from keyrung_policies.model import Binding
from keyrung_verifier.assertion import request_digest
from keyrung_verifier.factors.totp import code_at, step_of
from keyrung_verifier.keys import public_members, thumbprint

SEED = b"12345678901234567890"
# RFC 4226 appendix D.
HOTP_CODES = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
# RFC 6238 appendix B: time and the eight digits for SHA-1; six digits are their end.
TOTP_CODES = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]


@pytest.mark.parametrize(("counter", "code"), list(enumerate(HOTP_CODES)))
def test_rfc_4226_appendix_d(counter: int, code: str) -> None:
    assert code_at(SEED, counter) == code


@pytest.mark.parametrize(("seconds", "code"), TOTP_CODES)
def test_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    assert code_at(SEED, step_of(seconds)) == code[-6:]


@pytest.mark.parametrize("seconds", [0, 29, 30, 1764072000, 2**32 * 30 + 7, 253402300799])
def test_two_other_implementations_give_the_same_code(seconds: int) -> None:
    ours = code_at(SEED, step_of(seconds))

    assert ours == TOTP(SEED, 6, SHA1(), 30).generate(seconds).decode()  # noqa: S303 - the hash of RFC 6238
    assert ours == pyotp.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").at(seconds)


def test_oathtool_gives_the_same_code() -> None:
    program = shutil.which("oathtool")
    if program is None:
        pytest.skip("oathtool is not installed; `apt-get install oathtool`")

    done = subprocess.run(
        [program, "--totp", "--now", "2026-11-25 12:00:00 UTC", SEED.hex()], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == code_at(SEED, step_of(1795608000))


def test_rfc_7638_section_3_1_form_on_our_curves() -> None:
    # RFC 8037 appendix A.3: thumbprint of an Ed25519 key.
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_an_optional_member_does_not_change_a_thumbprint() -> None:
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        # RFC 7517 appendix A.1.
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "use": "enc",
        "kid": "1",
    }
    members = public_members(jwk)

    assert members == {name: jwk[name] for name in ("kty", "crv", "x", "y")}
    # Computed with `openssl dgst -sha256` over the text of RFC 7638 section 3.3.
    assert thumbprint(members) == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
    assert thumbprint(jwk) == thumbprint(members)


@pytest.mark.parametrize(
    ("bind", "digest"),
    [
        (("method", "uri", "body"), "MdYKhaoFSQ-4MAP2syHFBIFRfnTGbtDV0YIF3DLgCKk"),
        (("method",), "nW1nx9WGmSqJN0DY6viGMt02ut1aixWLft6m0NwmfdM"),
        ((), "peNj6Vm3TQSg5uY5CHfXXTnwu12rXUedl8-YYAFiAm4"),
    ],
)
def test_the_digest_of_a_request_covers_its_bound_parts_each_behind_its_length(
    bind: tuple[Binding, ...], digest: str
) -> None:
    # Computed with `openssl dgst -sha256` over label and parts, each behind its length in four bytes.
    body_sha256 = "8X06Vbd_NZseNGGuhTvIirFjTcBTv3-ZPIPSLadrpe4"

    assert request_digest("POST", "https://api.example/profile", body_sha256, bind=bind) == digest


@pytest.mark.parametrize(
    "changes",
    [{"d": "AAAA"}, {"y": "A" * 43}, {"x": "AA"}, {"crv": "P-384"}, {"kty": "RSA"}, {"alg": "ES384"}, {"kty": "oct"}],
)
def test_a_key_that_is_private_or_off_its_curve_or_of_another_kind_is_refused(changes: dict[str, str]) -> None:
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    }

    assert public_members(jwk | changes) is None
