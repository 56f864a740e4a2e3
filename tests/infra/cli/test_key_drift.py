"""`keyrung key drift` over a deployed stack: what other programs do to the stores is found, named and logged."""

import json
from typing import Any

from support.deployment import inventory, openbao_of, pkcs11_tool
from support.openbao import kill_server
from support.project import Project
from support.serving import events, log_report, serving

_LABEL = "assertion-signing-local"
_TOKEN_KEY = f"pkcs11:token=keyrung;object={_LABEL}"
_MOUNT = "transit:mount=keyrung"


def _drift(project: Project) -> tuple[int, dict[str, str]]:
    done = project.keyrung("key", "drift", "--json", check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, {finding["uri"]: finding["kind"] for finding in document["findings"]}


def _noted(project: Project) -> list[str]:
    seen = {"key.foreign", "key.missing", "key.altered"}
    return sorted(event.event for _, event in inventory(project).events() if event.event in seen)


def test_a_fresh_deployment_has_no_drift(deployed: Project) -> None:
    done = deployed.keyrung("key", "drift")
    assert done.stdout == "4 keys in 2 vaults: the stores hold exactly what the inventory says.\n"
    assert _noted(deployed) == []


def test_what_others_put_in_took_out_and_changed_is_named_and_logged_once_a_day(deployed: Project) -> None:
    pkcs11_tool(deployed, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "not ours/at all", "--id", "4242")
    for kind in ("privkey", "pubkey"):
        pkcs11_tool(deployed, "--delete-object", "--type", kind, "--label", _LABEL)
    with openbao_of(deployed).root() as root:
        root.call("POST", "keyrung/keys/surprise", {"type": "ed25519"})
        root.call("POST", "keyrung/keys/audit-signing-local/config", {"exportable": True})
    for _ in range(2):
        code, found = _drift(deployed)
        assert code == 1
        assert found == {
            "pkcs11:token=keyrung 'not ours/at all'": "foreign",
            _TOKEN_KEY: "missing",
            f"{_MOUNT};name=surprise": "foreign",
            f"{_MOUNT};name=audit-signing-local": "altered",
        }
    assert _noted(deployed) == ["key.altered", "key.foreign", "key.foreign", "key.missing"]


def test_a_foreign_key_is_in_the_audit_log_which_stays_good(deployed: Project) -> None:
    with openbao_of(deployed).root() as root:
        root.call("POST", "keyrung/keys/surprise", {"type": "ed25519"})
    assert _drift(deployed)[0] == 1
    with serving(deployed):
        pass
    assert events(deployed).count("key.foreign") == 1
    assert log_report(deployed)["ok"]


def test_a_store_that_cannot_be_asked_is_no_drift_and_hides_none(deployed: Project) -> None:
    kill_server(deployed.stack.layout.openbao)
    code, found = _drift(deployed)
    assert (code, found) == (2, {_MOUNT: "unchecked"})
    pkcs11_tool(deployed, "--delete-object", "--type", "privkey", "--label", _LABEL)
    code, found = _drift(deployed)
    assert (code, found) == (1, {_MOUNT: "unchecked", _TOKEN_KEY: "missing"})
    assert _noted(deployed) == ["key.missing"]
