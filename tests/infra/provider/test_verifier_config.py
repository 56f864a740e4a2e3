"""What would stop the verifier, or have its assertions refused, is told in the preview."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pulumi.provider.experimental.provider import CheckRequest
from support.provider_inputs import urn, values

from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.provider import KeyrungProvider
from keyrung_infra.provider.verifier_config import VerifierConfig

_FIRST = {"generation": 1, "state": "active", "use_not_before": "2026-01-01T00:00:00Z"}


def _signing(name: str) -> dict[str, Any]:
    return {"uri": f"pkcs11:token=t;object={name}", "thumbprint": "t", "jwk": {}, **_FIRST}


def _sealing(uri: str) -> dict[str, Any]:
    return {"uri": uri, **_FIRST}


def _document(**changed: Any) -> str:
    client = {"client_id": "api", "audience": "https://api.test", "secret": "env:API_SECRET"}
    document: dict[str, Any] = {
        "issuer": "https://stepup.test:8443",
        "tls": {"certificate": "tls/server.pem", "key": "tls/server-key.pem"},
        "store": "store.db",
        "inventory": "inventory.db",
        "policy": {"bundle": "bundle.json", "keys": {}},
        "audit": {"store": "store.db", "checkpoints": "checkpoints.jsonl", "keys": []},
        "assertion_keys": [_signing("assertion")],
        "audit_keys": [_signing("audit")],
        "seed_keys": [_sealing("transit:mount=m;name=seed")],
        "clients": [client],
        "backends": {"pkcs11Module": "file:softhsm/module", "pkcs11Pin": "env:PIN"},
    }
    if "audience" in changed:
        client["audience"] = changed.pop("audience")
    return json.dumps(document | changed)


def _reasons(provider: KeyrungProvider, document: str) -> list[str]:
    inputs = values({"document": document, "path": "config.json"})
    answer = asyncio.run(provider.check(CheckRequest(urn("VerifierConfig"), {}, inputs, b"")))
    return [failure.reason for failure in answer.failures or []]


@pytest.mark.parametrize("audience", ["https://api.test", "https://api.test/v1", "urn:example:api"])
def test_a_configuration_that_serves_is_taken(provider: KeyrungProvider, audience: str) -> None:
    assert _reasons(provider, _document(audience=audience)) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"issuer": "http://stepup.test"}, "issuer: the public URL is not https://host[:port]"),
        ({"issuer": "https://stepup.test/"}, "issuer: the public URL is not https://host[:port]"),
        ({"issuer": "https://StepUp.test"}, "issuer: the public URL is not https://host[:port]"),
        ({"audience": "sample-api"}, "the audience of the client api is no absolute URI"),
        ({"audience": "https://"}, "the audience of the client api is no absolute URI"),
        ({"audience": "https://api.test#a"}, "the audience of the client api is no absolute URI"),
        ({"audience": "https://api.test/a b"}, "the audience of the client api is no absolute URI"),
        ({"audience": "https://[api"}, "the audience of the client api is no absolute URI"),
        ({"seed_keys": [_sealing("vault:seed")]}, "'vault' is no known scheme"),
        ({"backends": {"pkcs11Pin": "123456"}}, "the setting pkcs11Pin must refer to its secret as file:PATH or env:"),
        ({"backends": {"pkcs11Pim": "env:PIN"}}, "there is no setting called pkcs11Pim; did you mean pkcs11Pin?"),
    ],
)
def test_one_that_would_not_serve_is_refused(provider: KeyrungProvider, changed: dict[str, Any], reason: str) -> None:
    reasons = " ".join(_reasons(provider, _document(**changed)))
    assert reason in reasons
    assert "123456" not in reasons


def test_a_client_that_is_named_twice_is_refused(provider: KeyrungProvider) -> None:
    clients = json.loads(_document())["clients"] * 2
    assert "the client api is named twice; name each once" in _reasons(provider, _document(clients=clients))


def test_an_issuer_behind_a_reference_is_judged_where_it_can_be_read(provider: KeyrungProvider, tmp_path: Path) -> None:
    document = _document(issuer="file:address")
    assert _reasons(provider, document) == []
    (tmp_path / "address").write_text("https://127.0.0.1:8443\n")
    assert _reasons(provider, document) == []
    (tmp_path / "address").write_text("127.0.0.1:8443\n")
    assert "issuer: the public URL is not https" in _reasons(provider, document)[0]


def test_files_that_the_verifier_would_miss_are_named_without_refusing_them(tmp_path: Path) -> None:
    resource = VerifierConfig(Backends(tmp_path, reached=lambda _point: None))
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "server.pem").touch()
    sentences = resource.advice({"document": _document(), "path": "config.json"}, None)
    assert [sentence.split()[4].rstrip(",") for sentence in sentences] == ["softhsm/module", "tls/server-key.pem"]
