"""`pkcs11-tool`, `openssl` and `bao` confirm the keys of each algorithm, what they may do, and what they sign."""

import base64
import secrets
from pathlib import Path

import pytest
from support.openbao import OpenBaoServer
from support.other_programs import bao, openssl_verifies
from support.softhsm import SoftHsmToken, pkcs11_tool
from support.stores import broad_settings, spec, token_manager, vault_manager

from keyrung_infra.tools import Tools
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.uri import KeyUri

_MESSAGE = b"a message"
_SIGNING = [row.name for row in ALGORITHMS.values() if not row.symmetric]
# What pkcs11-tool calls the kinds of keys.
_SHOWN = {"P-256": "EC", "P-384": "EC", "Ed25519": "EC_EDWARDS", "RSA-3072": "RSA"}


@pytest.mark.parametrize("algorithm", _SIGNING)
def test_pkcs11_tool_shows_a_key_that_was_made_in_the_token_and_only_signs(
    softhsm_token: SoftHsmToken, algorithm: str
) -> None:
    uri = KeyUri("pkcs11", softhsm_token.label, "policy-signing-seen")
    token_manager(softhsm_token).create(spec(uri, algorithm=algorithm))
    shown = pkcs11_tool(softhsm_token.layout, softhsm_token.label, "--list-objects", "--type", "privkey")
    assert shown.count("Private Key Object") == 1
    assert f"Private Key Object; {_SHOWN[algorithm]}" in shown
    lines = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in shown.splitlines())}
    assert lines["Usage"] == "sign"
    assert set(lines["Access"].split(", ")) == {"sensitive", "always sensitive", "never extractable", "local"}


def test_pkcs11_tool_shows_a_sealing_key_that_only_encrypts_and_decrypts(softhsm_token: SoftHsmToken) -> None:
    uri = KeyUri("pkcs11", softhsm_token.label, "credential-seed-seen")
    token_manager(softhsm_token).create(spec(uri, algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED))
    shown = pkcs11_tool(softhsm_token.layout, softhsm_token.label, "--list-objects", "--type", "secrkey")
    assert "Secret Key Object; AES length 32" in shown
    lines = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in shown.splitlines())}
    assert set(lines["Usage"].split(", ")) == {"encrypt", "decrypt"}
    assert set(lines["Access"].split(", ")) == {"sensitive", "always sensitive", "never extractable", "local"}


@pytest.mark.parametrize("algorithm", _SIGNING)
def test_openssl_verifies_what_the_token_signs(softhsm_token: SoftHsmToken, tmp_path: Path, algorithm: str) -> None:
    uri = KeyUri("pkcs11", softhsm_token.label, "policy-signing-one")
    manager = token_manager(softhsm_token)
    made = manager.create(spec(uri, algorithm=algorithm))
    signature = manager.sign(uri, _MESSAGE)
    pem = made.public_key_pem or ""
    assert openssl_verifies(tmp_path, algorithm, pem, _MESSAGE, signature)
    assert not openssl_verifies(tmp_path, algorithm, pem, _MESSAGE + b"!", signature)


@pytest.mark.parametrize("algorithm", _SIGNING)
def test_openssl_and_bao_verify_what_transit_signs(
    openbao: OpenBaoServer, tools: Tools, tmp_path: Path, algorithm: str
) -> None:
    row, settings = ALGORITHMS[algorithm], broad_settings(openbao, tmp_path)
    token = Path(settings["transitToken"].removeprefix("file:")).read_text()
    manager, uri = vault_manager(settings), KeyUri("transit", "keyrung", f"policy-signing-{secrets.token_hex(6)}")
    made = manager.create(spec(uri, algorithm=algorithm))
    signature = manager.sign(uri, _MESSAGE)
    assert openssl_verifies(tmp_path, algorithm, made.public_key_pem or "", _MESSAGE, signature)

    shown = bao(tools.bao, openbao, token, "read", f"keyrung/keys/{uri.name}")
    assert (shown["type"], shown["exportable"], shown["allow_plaintext_backup"]) == (row.transit, False, False)
    written = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    asked = [f"signature=vault:v1:{written}", "marshaling_algorithm=jws"]
    if row.transit_hash:
        asked.append(f"hash_algorithm={row.transit_hash}")
    if row.kty == "RSA":
        asked += ["signature_algorithm=pss", "salt_length=hash"]
    for message, valid in ((_MESSAGE, True), (_MESSAGE + b"!", False)):
        data = [f"input={base64.b64encode(message).decode()}", *asked]
        assert bao(tools.bao, openbao, token, "write", f"keyrung/verify/{uri.name}", *data)["valid"] is valid
