"""A person's own token: its key is made inside it once, judged each time, and signs."""

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from support.softhsm import SoftHsmToken, pkcs11_tool

from keyrung_infra.user_token import UserKey, open_user_token, provision_user_key
from keyrung_provisioners.errors import BackendUnavailableError, KeyMissingError, KeyRefusedError, ProvisionerError


def _provision(token: SoftHsmToken, root: Path) -> UserKey:
    return provision_user_key(token.label, token.settings(), root=root, allow_software=True)


def _pairs(token: SoftHsmToken) -> tuple[int, int]:
    listed = pkcs11_tool(token.layout, token.label, "--list-objects")
    return listed.count("Private Key Object"), listed.count("Public Key Object")


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_the_key_is_made_once_and_what_it_signs_verifies(softhsm_token: SoftHsmToken, tmp_path: Path) -> None:
    first, second = _provision(softhsm_token, tmp_path), _provision(softhsm_token, tmp_path)
    assert first == second
    assert first.uri == f"pkcs11:token={softhsm_token.label};object=step-up"
    assert _pairs(softhsm_token) == (1, 1)
    # SoftHSM says that its slot is no hardware, so nobody may call this key a hardware key.
    assert first.evidence["hardware"] is False

    signature = open_user_token(softhsm_token.label, softhsm_token.settings(), root=tmp_path).sign(b"text")
    half = len(signature) // 2
    public = ec.EllipticCurvePublicNumbers(
        _number(first.public_jwk["x"]), _number(first.public_jwk["y"]), ec.SECP256R1()
    ).public_key()
    r_and_s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
    public.verify(encode_dss_signature(*r_and_s), b"text", ec.ECDSA(SHA256()))


def test_a_key_that_could_leave_the_token_is_refused_with_its_weakness(
    softhsm_token: SoftHsmToken, tmp_path: Path
) -> None:
    pkcs11_tool(
        *(softhsm_token.layout, softhsm_token.label, "--keypairgen", "--key-type", "EC:prime256v1"),
        *("--label", "step-up", "--id", "01", "--usage-sign", "--extractable"),
    )
    with pytest.raises(KeyRefusedError, match=r"falls short in .*CKA_NEVER_EXTRACTABLE.*: remove it and add"):
        _provision(softhsm_token, tmp_path)
    assert _pairs(softhsm_token) == (1, 1)


def test_a_key_that_was_brought_in_from_outside_is_refused(softhsm_token: SoftHsmToken, tmp_path: Path) -> None:
    key = tmp_path / "key.der"
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", "DER"]
    subprocess.run([*command, "-out", str(key)], check=True, capture_output=True)
    public = tmp_path / "public.der"
    subprocess.run(
        ["openssl", "pkey", "-in", str(key), "-inform", "DER", "-pubout", "-outform", "DER", "-out", str(public)],
        check=True,
        capture_output=True,
    )
    for kind, file in (("privkey", key), ("pubkey", public)):
        more = ("--usage-sign", "--sensitive") if kind == "privkey" else ("--usage-sign",)
        pkcs11_tool(
            *(softhsm_token.layout, softhsm_token.label, "--write-object", str(file), "--type", kind),
            *("--label", "step-up", "--id", "01", *more),
        )
    with pytest.raises(KeyRefusedError, match="falls short in"):
        _provision(softhsm_token, tmp_path)


def test_a_token_in_software_is_refused_before_anything_is_made(softhsm_token: SoftHsmToken, tmp_path: Path) -> None:
    with pytest.raises(KeyRefusedError, match=r"does not say that it is hardware.*--allow-software"):
        provision_user_key(softhsm_token.label, softhsm_token.settings(), root=tmp_path)
    assert _pairs(softhsm_token) == (0, 0)


def test_half_a_pair_that_a_crash_left_is_replaced(softhsm_token: SoftHsmToken, tmp_path: Path) -> None:
    first = _provision(softhsm_token, tmp_path)
    pkcs11_tool(softhsm_token.layout, softhsm_token.label, "--delete-object", "--type", "privkey", "--label", "step-up")
    second = _provision(softhsm_token, tmp_path)
    assert second.public_jwk != first.public_jwk
    assert _pairs(softhsm_token) == (1, 1)


def test_a_wrong_pin_makes_nothing_and_the_right_one_works(softhsm_token: SoftHsmToken, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong-pin"
    wrong.write_text("918273645546\n")
    settings = softhsm_token.settings() | {"pkcs11Pin": f"file:{wrong}"}
    for _ in range(5):  # the PIN is sent once, so that trying again does not lock the token
        with pytest.raises(BackendUnavailableError, match="refused the PIN"):
            provision_user_key(softhsm_token.label, settings, root=tmp_path, allow_software=True)
    assert _provision(softhsm_token, tmp_path).public_jwk["crv"] == "P-256"


def test_no_secret_shows_in_what_is_printed_of_a_token(softhsm_token: SoftHsmToken, tmp_path: Path) -> None:
    token = open_user_token(softhsm_token.label, softhsm_token.settings(), root=tmp_path)
    assert softhsm_token.pin not in repr(token)
    with pytest.raises(ProvisionerError) as caught:
        provision_user_key(
            softhsm_token.label, softhsm_token.settings() | {"pkcs11Pin": softhsm_token.pin}, root=tmp_path
        )
    assert softhsm_token.pin not in str(caught.value)


def test_a_token_without_the_key_does_not_sign(softhsm_token: SoftHsmToken, tmp_path: Path) -> None:
    token = open_user_token(softhsm_token.label, softhsm_token.settings(), root=tmp_path)
    with pytest.raises(KeyMissingError):
        token.sign(b"text")
