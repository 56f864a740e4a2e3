"""`keyrung key verify` names each attribute in which a key differs: weak keys are made by other programs than ours."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import softhsm
from support.escrow_desk import KEYRUNG
from support.openbao import OpenBaoServer
from support.raw_keys import generate_raw, raw_session
from support.softhsm import SoftHsmToken
from support.stores import broad_settings

Verify = Callable[..., tuple[int, dict[str, Any]]]
_EXPECTED = ("--algorithm", "P-256", "--purpose", "assertion-signing")


def _differing(verdict: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {check["attribute"]: (check["expected"], check["found"]) for check in verdict["checks"] if not check["ok"]}


@pytest.fixture
def verify(softhsm_token: SoftHsmToken, tmp_path: Path) -> Verify:
    """Verify the key called by a label, in a process of its own, as one that is in no inventory."""
    settings = softhsm_token.settings()

    def run(label: str, *more: str) -> tuple[int, dict[str, Any]]:
        uri = f"pkcs11:token={softhsm_token.label};object={label}"
        access = ("--module", settings["pkcs11Module"], "--pin", settings["pkcs11Pin"])
        command = [KEYRUNG, "key", "verify", uri, *_EXPECTED, *access, *more, "--json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout)

    return run


def _generate(token: SoftHsmToken, label: str, *more: str, kind: str = "EC:prime256v1") -> None:
    softhsm.pkcs11_tool(
        token.layout, token.label, "--keypairgen", "--key-type", kind, "--label", label, "--id", "42", *more
    )


def test_a_key_that_another_program_made_as_ours_are_made_differs_in_nothing(
    softhsm_token: SoftHsmToken, verify: Verify
) -> None:
    with raw_session(softhsm_token) as session:
        generate_raw(session, "good", {})
    code, verdict = verify("good")
    assert (code, verdict["ok"]) == (0, True), _differing(verdict)
    assert {"algorithm", "CKA_EXTRACTABLE", "CKA_SENSITIVE", "CKA_LOCAL"} <= {
        check["attribute"] for check in verdict["checks"]
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--extractable",), {"CKA_EXTRACTABLE": (False, True), "CKA_NEVER_EXTRACTABLE": (True, False)}),
        (("--usage-decrypt",), {"CKA_DECRYPT": (False, True)}),
        (("--usage-derive",), {"CKA_DERIVE": (False, True)}),
    ],
)
def test_each_weakness_is_named_with_what_was_expected_and_found(
    softhsm_token: SoftHsmToken, verify: Verify, more: tuple[str, ...], expected: dict[str, tuple[bool, bool]]
) -> None:
    _generate(softhsm_token, "weak", *more)
    code, verdict = verify("weak")
    assert code == 1
    assert not verdict["ok"]
    assert expected.items() <= _differing(verdict).items()


def test_a_key_that_was_made_outside_the_token_is_named_as_not_local(
    softhsm_token: SoftHsmToken, verify: Verify, tmp_path: Path
) -> None:
    key = tmp_path / "key.der"
    subprocess.run(
        [
            "openssl",
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-outform",
            "DER",
            "-out",
            key,
        ],
        check=True,
        capture_output=True,
    )
    public = tmp_path / "public.der"
    subprocess.run(
        ["openssl", "pkey", "-in", key, "-inform", "DER", "-pubout", "-outform", "DER", "-out", public], check=True
    )
    for path, kind in ((key, "privkey"), (public, "pubkey")):
        written = ("--write-object", str(path), "--type", kind, "--label", "brought", "--id", "43", "--usage-sign")
        softhsm.pkcs11_tool(softhsm_token.layout, softhsm_token.label, *written)
    code, verdict = verify("brought")
    assert code == 1
    assert _differing(verdict)["CKA_LOCAL"] == (True, False)


def test_another_curve_is_named(softhsm_token: SoftHsmToken, verify: Verify) -> None:
    _generate(softhsm_token, "p384", kind="EC:secp384r1")
    code, verdict = verify("p384")
    assert code == 1
    assert _differing(verdict)["algorithm"] == ("P-256", "P-384")


def test_a_curve_that_we_do_not_know_is_named(softhsm_token: SoftHsmToken, verify: Verify) -> None:
    _generate(softhsm_token, "p521", kind="EC:secp521r1")
    code, verdict = verify("p521")
    assert code == 1
    assert _differing(verdict)["algorithm"][0] == "P-256"


def test_software_is_named_where_hardware_is_expected(softhsm_token: SoftHsmToken, verify: Verify) -> None:
    _generate(softhsm_token, "soft")
    assert "hardware" not in _differing(verify("soft")[1])
    code, verdict = verify("soft", "--hardware")
    assert code == 1
    assert _differing(verdict)["hardware"] == (True, False)


def test_a_missing_key_and_two_halves_that_do_not_belong_together_are_named(
    softhsm_token: SoftHsmToken, verify: Verify
) -> None:
    code, verdict = verify("absent")
    assert (code, _differing(verdict)) == (1, {"key": ("present", "missing")})
    for label in ("one", "two"):
        _generate(softhsm_token, label)
    for kind, label in (("pubkey", "one"), ("privkey", "two")):
        softhsm.pkcs11_tool(
            softhsm_token.layout, softhsm_token.label, "--delete-object", "--type", kind, "--label", label
        )
    code, verdict = verify("one")
    assert (code, _differing(verdict)) == (1, {"key": ("present", "missing")})


def test_a_path_that_is_typed_starts_where_it_is_typed(softhsm_token: SoftHsmToken, tmp_path: Path) -> None:
    with raw_session(softhsm_token) as session:
        generate_raw(session, "good", {})
    settings, below = softhsm_token.settings(), tmp_path / "below"
    below.mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: test\n")
    (below / "pin").write_text(softhsm_token.pin)
    uri = f"pkcs11:token={softhsm_token.label};object=good"
    access = ("--module", settings["pkcs11Module"], "--pin", "file:pin")
    command = [KEYRUNG, "key", "verify", uri, *_EXPECTED, *access, "--json"]
    done = subprocess.run(command, cwd=below, capture_output=True, text=True, timeout=60)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)


def test_a_store_that_cannot_be_asked_is_an_error_and_no_verdict(softhsm_token: SoftHsmToken, verify: Verify) -> None:
    code, answer = verify("good", "--pin", "file:nowhere")
    assert code == 1
    assert answer["error"]["type"] == "InvalidSettingError"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"exportable": True}, {"exportable": (False, True)}),
        ({"allow_plaintext_backup": True}, {"allow_plaintext_backup": (False, True)}),
        ({"type": "ecdsa-p384"}, {"algorithm": ("P-256", "P-384"), "type": ("ecdsa-p256", "ecdsa-p384")}),
    ],
)
def test_a_weak_transit_key_is_named(
    openbao: OpenBaoServer, tmp_path: Path, made: dict[str, object], expected: dict[str, tuple[Any, Any]]
) -> None:
    settings = broad_settings(openbao, tmp_path)
    name = openbao.key_name("weak")
    with openbao.root() as root:
        root.call("POST", f"keyrung/keys/{name}", {"type": "ecdsa-p256", **made})
    access = (
        "--transit-address",
        settings["transitAddress"],
        "--transit-token",
        settings["transitToken"],
        "--transit-ca",
        settings["transitCaFile"],
    )
    uri = f"transit:mount=keyrung;name={name}"
    command = [KEYRUNG, "key", "verify", uri, *_EXPECTED, *access, "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert _differing(json.loads(done.stdout)) == expected
