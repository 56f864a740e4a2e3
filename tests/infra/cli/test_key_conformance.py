"""`keyrung key conformance`: a user's own store through the checks, and nothing left behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.escrow_desk import KEYRUNG
from support.openbao import OpenBaoServer
from support.softhsm import SoftHsmToken
from support.stores import broad_settings, token_manager

from keyrung_infra.cli import main
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.backends.pkcs11 import Pkcs11KeyManager
from keyrung_provisioners.uri import VaultUri

_SECONDS = 120


def _command(token: SoftHsmToken, *more: str) -> list[str]:
    reached = token.settings()
    access = ["--module", reached["pkcs11Module"], "--pin", reached["pkcs11Pin"]]
    return ["key", "conformance", f"pkcs11:token={token.label}", *access, *more]


def _left(token: SoftHsmToken) -> list[str]:
    return token_manager(token).names(VaultUri("pkcs11", token.label))


def test_a_token_passes_and_is_empty_afterwards(
    softhsm_token: SoftHsmToken, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [part for name in ("P-256", "AES-256") for part in ("--algorithm", name)]
    assert main.run(_command(softhsm_token, *chosen, "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert document["store"]["model"] == "SoftHSM v2"
    assert {result["algorithm"] for result in document["results"]} == {"P-256", "AES-256"}
    assert {result["outcome"] for result in document["results"]} == {"passed", "not offered"}
    assert all(bool(result["reason"]) == (result["outcome"] != "passed") for result in document["results"])
    assert _left(softhsm_token) == []


def test_a_transit_mount_is_tried_with_every_algorithm(
    openbao: OpenBaoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reached = broad_settings(openbao, tmp_path)
    access = ["--transit-address", reached["transitAddress"], "--transit-token", reached["transitToken"]]
    code = main.run(
        ["key", "conformance", "transit:mount=keyrung", *access, "--transit-ca", reached["transitCaFile"], "--json"]
    )
    document = json.loads(capsys.readouterr().out)
    failed = [result for result in document["results"] if result["outcome"] == "failed"]
    assert (code, failed) == (0, [])
    assert {result["algorithm"] for result in document["results"]} == set(ALGORITHMS)


def test_a_failed_check_is_told_with_its_reason_and_ends_with_1(
    softhsm_token: SoftHsmToken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pkcs11KeyManager, "deviations", lambda *_: ["CKA_SENSITIVE"])
    assert main.run(_command(softhsm_token, "--algorithm", "P-256")) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "makes a key as declared FAILED" in said
    assert "the key falls short in CKA_SENSITIVE" in said
    assert _left(softhsm_token) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_removes_its_keys(softhsm_token: SoftHsmToken, number: signal.Signals) -> None:
    running = subprocess.Popen(
        # Tests that run in the background of a script inherit that SIGINT is ignored.
        ["env", "--default-signal=INT", KEYRUNG, *_command(softhsm_token, "--algorithm", "RSA-3072")],
        env={**os.environ, "SOFTHSM2_CONF": str(softhsm_token.config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + _SECONDS
    while not _left(softhsm_token):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(number)
    out, err = running.communicate(timeout=_SECONDS)
    assert (running.returncode, out) == (130, "")
    assert err.strip() == "keyrung: interrupted"
    assert _left(softhsm_token) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pkcs11:token=t"], "say --module and --pin"),
        (["transit:mount=m"], "say --transit-address, --transit-token and --transit-ca"),
        (["software:folder=f"], "give a pkcs11:, transit: or awskms: vault"),
        (["pkcs11:token=t;object=o"], "names no vault"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["key", "conformance", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_wrong_pin_is_one_error_and_not_one_for_each_check(
    softhsm_token: SoftHsmToken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pin").write_text("not the pin")
    command = _command(softhsm_token)
    command[command.index("--pin") + 1] = f"file:{tmp_path / 'pin'}"
    assert main.run(command) == 1
    assert capsys.readouterr().err.count("refused the PIN") == 1
