"""The first `pulumi up` makes exactly what is declared, the second finds it as it is, and no secret is left behind."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from support.deployment import Template, inventory, resources, states, token_objects, transit_keys
from support.project import Project
from support.secrets import files, leaks, secrets_of

from keyrung_infra.local.layout import Layout

_KEYS = {
    "assertion-signing": "pkcs11:token=keyrung;object=assertion-signing-local",
    "policy-signing": "transit:mount=keyrung;name=policy-signing-local",
    "audit-signing": "transit:mount=keyrung;name=audit-signing-local",
    "credential-seed": "transit:mount=keyrung;name=credential-seed-local",
}


def _thumbprint(pem: str) -> str:
    """RFC 7638 thumbprint by hand, so that it is not checked against the code that made it."""
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    numbers = key.public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    text = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_up_makes_every_declared_thing_once_and_again_changes_nothing(deployed: Project) -> None:
    made = resources(deployed)
    assert sorted(made) == sorted([*_KEYS, "token", "transit", "policies", "verifier"])
    assert states(deployed) == {f"{uri}@1": "active" for uri in _KEYS.values()}
    assert token_objects(deployed) == ["private assertion-signing-local", "public assertion-signing-local"]
    assert transit_keys(deployed) == ["audit-signing-local", "credential-seed-local", "policy-signing-local"]

    events = inventory(deployed).events()
    deployed.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    preview = deployed.pulumi_json("preview", "--json", "--expect-no-changes")
    assert {step["op"] for step in preview["steps"]} == {"same"}
    assert resources(deployed) == made
    assert inventory(deployed).events() == events


def _state_of(template: Template) -> dict[str, dict[str, Any]]:
    path = template.root / ".keyrung/pulumi/state/.pulumi/stacks/stepup/local.json"
    found = json.loads(path.read_bytes())["checkpoint"]["latest"]["resources"]
    return {item["urn"].rpartition("::")[2]: item.get("outputs", {}) for item in found}


def test_a_key_comes_out_as_public_half_thumbprint_state_and_evidence(template: Template) -> None:
    outputs = _state_of(template)
    for purpose, uri in _KEYS.items():
        key = outputs[purpose]
        assert (key["uri"], key["state"], key["generation"]) == (uri, "active", 1)
        if purpose == "credential-seed":
            assert key["publicKeyPem"] == ""
            assert key["thumbprint"].startswith("hmac-sha256:")
        else:
            assert key["thumbprint"] == _thumbprint(key["publicKeyPem"])
    evidence = outputs["assertion-signing"]["evidence"]
    assert evidence["CKA_LOCAL"]
    assert evidence["CKA_ALWAYS_SENSITIVE"]
    assert evidence["CKA_NEVER_EXTRACTABLE"]
    assert not evidence["hardware"]  # SoftHSM says so itself
    assert outputs["audit-signing"]["evidence"] | {"type": "ecdsa-p256"} == {
        "type": "ecdsa-p256",
        "version": 1,
        "exportable": False,
        "allow_plaintext_backup": False,
        "imported_key": False,
        "derived": False,
        "auto_rotate_period": 0,
    }


def test_no_secret_of_the_run_stands_in_state_logs_inventory_or_configuration(template: Template) -> None:
    layout = Layout(root=template.root)
    secrets = secrets_of(layout)
    places = files(layout.pulumi_state.parent, layout.state / "inventory.db", layout.state / "verifier")
    places["the output and log of `pulumi up`"] = template.output.encode()
    assert len(secrets) == 10
    assert len(template.output) > 100_000  # the log is really there
    assert "assertion-signing-local" in template.output
    assert leaks(secrets, places) == []


@pytest.mark.parametrize(
    "hidden", ["{0}", "x{0}y", "{1}", "{2}", "a{3}"], ids=["raw", "inside", "hex", "base64", "in base64"]
)
def test_the_search_for_secrets_finds_what_is_there(tmp_path: Path, hidden: str) -> None:
    secret = b"a secret of more than eight bytes"
    inside = base64.urlsafe_b64encode(b'{"pin":"' + secret + b'"}').decode()
    encoded = base64.b64encode(secret).decode()
    (tmp_path / "log").write_text(hidden.format(secret.decode(), secret.hex(), encoded, inside))
    assert leaks({"pin": secret}, files(tmp_path))
    assert not leaks({"pin": b"another secret of the same kind.."}, files(tmp_path))
