"""The evidence of each key: signed by a verifier with the audit key, checked offline by others, held against stores."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import pytest
from support.deployment import inventory, openbao_of, resources
from support.project import Project
from support.serving import serving

_KEYS = {
    "pkcs11:token=keyrung;object=assertion-signing-local",
    "transit:mount=keyrung;name=audit-signing-local",
    "transit:mount=keyrung;name=credential-seed-local",
    "transit:mount=keyrung;name=policy-signing-local",
}
_POLICY_KEY = "transit:mount=keyrung;name=policy-signing-local"


def _verify(project: Project, uri: str) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads(project.keyrung("key", "verify", uri, "--json", check=False).stdout)
    return verdict


def _differing(verdict: dict[str, Any]) -> set[str]:
    return {check["attribute"] for check in verdict["checks"] if not check["ok"]}


def _audit_pem(project: Project) -> str:
    return str(resources(project)["audit-signing"]["outputs"]["publicKeyPem"])


@pytest.fixture
def signed(deployed: Project) -> Project:
    """A deployed project whose verifier ran once."""
    with serving(deployed):
        pass
    return deployed


def test_every_key_has_evidence_that_a_general_library_verifies_under_the_audit_key(
    signed: Project, tmp_path: Path
) -> None:
    pem = _audit_pem(signed)
    (tmp_path / "audit.pem").write_text(pem)
    for uri in _KEYS:
        text = signed.keyrung("key", "evidence", uri).stdout
        jws = json.loads(text)
        compact = f"{jws['protected']}.{jws['payload']}.{jws['signature']}"
        stated = json.loads(jwt.PyJWS().decode(compact, pem, algorithms=["ES256"]))
        assert (stated["key"]["uri"], stated["how"]) == (uri, "generated")
        assert stated["attributes"]
        assert stated["store"]
        (tmp_path / "evidence.json").write_text(text)
        command = ("audit", "evidence", str(tmp_path / "evidence.json"), "--key", str(tmp_path / "audit.pem"), "--json")
        answer = json.loads(signed.keyrung(*command).stdout)
        assert (answer["ok"], answer["statement"]) == (True, stated)


def test_a_fresh_deployment_verifies_key_by_key_before_and_after_the_evidence_is_signed(deployed: Project) -> None:
    verdicts = {uri: _verify(deployed, uri) for uri in _KEYS}
    assert {uri for uri, verdict in verdicts.items() if not verdict["ok"]} == set()
    assert all("not signed yet" in verdict["evidence"] for verdict in verdicts.values())
    assert deployed.keyrung("key", "evidence", _POLICY_KEY, check=False).returncode == 1
    with serving(deployed):
        pass
    verdict = _verify(deployed, _POLICY_KEY)
    assert verdict["ok"], verdict
    assert "signed by audit key" in verdict["evidence"]


def test_a_key_that_got_weaker_or_was_replaced_is_told_by_attribute(signed: Project) -> None:
    with openbao_of(signed).root() as root:
        path = "keyrung/keys/policy-signing-local"
        root.call("POST", f"{path}/config", {"exportable": True, "deletion_allowed": True})
        assert _differing(_verify(signed, _POLICY_KEY)) == {"exportable"}
        root.call("DELETE", path)
        assert _differing(_verify(signed, _POLICY_KEY)) == {"key"}
        root.call("POST", path, {"type": "ecdsa-p256"})
        assert _differing(_verify(signed, _POLICY_KEY)) == {"thumbprint"}


def test_another_purpose_than_the_declared_one_is_told(signed: Project) -> None:
    done = signed.keyrung("key", "verify", _POLICY_KEY, "--purpose", "kek", "--json", check=False)
    assert done.returncode == 1
    assert _differing(json.loads(done.stdout)) == {"purpose"}


@pytest.mark.parametrize("what", ["statement", "signature", "another key's"])
def test_evidence_that_was_altered_does_not_count(signed: Project, what: str, tmp_path: Path) -> None:
    rows = {str(row.claim.uri): row for row in inventory(signed).rows()}
    found = {uri: inventory(signed).statements(row)[-1] for uri, row in rows.items()}
    jws = json.loads(found[_POLICY_KEY].signed or b"")
    if what == "statement":
        payload = base64.urlsafe_b64decode(jws["payload"] + "==").replace(b'"exportable":false', b'"exportable":true')
        jws["payload"] = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    elif what == "signature":
        jws["signature"] = jws["signature"][::-1]
    else:
        jws = json.loads(found["transit:mount=keyrung;name=audit-signing-local"].signed or b"")
    text = json.dumps(jws, separators=(",", ":"), sort_keys=True)
    with closing(sqlite3.connect(signed.state / "inventory.db")) as store, store:
        store.execute("UPDATE statements SET signed = ? WHERE position = ?", (text, found[_POLICY_KEY].position))
    verdict = _verify(signed, _POLICY_KEY)
    expected = {"thumbprint", "uri"} if what == "another key's" else {"signature"}
    assert _differing(verdict) == expected
    (tmp_path / "evidence.json").write_text(text)
    done = signed.keyrung("audit", "evidence", str(tmp_path / "evidence.json"), check=False)
    assert done.returncode == (0 if what == "another key's" else 1)
