"""One declaration makes a key in a token and its copy in Transit: one identity, rotated and destroyed as one."""

import json
from typing import Any

import pytest
from support.deployment import inventory, resources, states, token_objects
from support.project import Project
from support.secrets import files, leaks, secrets_of

_PROGRAM = """
import pulumi
from keyrung_infra.resources import Key, KeyVault
from keyrung_provisioners.api import Purpose

vault, transit = KeyVault("vault", uri="pkcs11:token=keyrung"), KeyVault("transit", uri="transit:mount=keyrung")
Key("key", vault=vault.uri, key_name="policy-signing-one", purpose=Purpose.POLICY_SIGNING, generation={generation},
    publish_seconds=0, copy_to=pulumi.Output.concat(transit.uri, ";name={copy}"), deletion_protection={protected})
"""


def _declare(
    project: Project, *, generation: int = 1, copy: str = "policy-signing-copy", protected: bool = False
) -> None:
    text = _PROGRAM.format(generation=generation, copy=copy, protected=protected)
    (project.root / "infra" / "__main__.py").write_text(text)


def _up(project: Project, *arguments: str) -> dict[str, Any]:
    project.pulumi("up", "--yes", "--skip-preview", *arguments)
    outputs: dict[str, Any] = resources(project)["key"]["outputs"]
    return outputs


def _copy(project: Project) -> dict[str, Any]:
    """Return what OpenBao says of the copy."""
    server = project.stack.openbao.server
    token = project.stack.layout.openbao.token("deployer").read_text().strip()
    data: dict[str, Any] = server.client(token=token).call("GET", "keyrung/keys/policy-signing-copy")["data"]
    return data


@pytest.fixture
def project(pulumi_project: Project) -> Project:
    return pulumi_project


def test_a_key_with_a_copy_is_made_rotated_and_destroyed_as_one(project: Project) -> None:
    _declare(project)
    made = _up(project)
    assert (made["state"], made["evidence"]["CKA_EXTRACTABLE"]) == ("active", False)
    assert made["evidence"]["copy"] == "transit:mount=keyrung;name=policy-signing-copy"
    copy = _copy(project)
    assert copy["keys"]["1"]["public_key"].strip() == made["publicKeyPem"].strip()
    assert (copy["imported_key"], copy["exportable"], copy["allow_plaintext_backup"]) == (True, False, False)
    _up(project, "--expect-no-changes")
    project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")

    _declare(project, generation=2)
    rotated = _up(project)
    assert rotated["thumbprint"] != made["thumbprint"]
    assert _copy(project)["keys"]["2"]["public_key"].strip() == rotated["publicKeyPem"].strip()
    assert [str(row.claim.copy_to) for row in inventory(project).rows()] == [
        "transit:mount=keyrung;name=policy-signing-copy",
        "transit:mount=keyrung;name=policy-signing-copy;version=2",
    ]

    project.pulumi("destroy", "--yes", "--skip-preview")
    assert token_objects(project) == []
    assert set(states(project).values()) == {"destroyed"}
    assert leaks(secrets_of(project.stack.layout), files(project.stack.layout.pulumi_state)) == []


def test_another_place_for_the_copy_of_a_protected_key_is_refused_in_the_preview(project: Project) -> None:
    _declare(project, protected=True)
    _up(project)
    _declare(project, protected=True, copy="policy-signing-other")
    done = project.pulumi("preview", check=False)
    assert done.returncode != 0
    assert "changing copyTo would replace" in done.stdout + done.stderr


def test_a_copy_that_is_gone_from_its_store_is_drift_and_the_key_is_not(project: Project) -> None:
    _declare(project)
    _up(project)
    assert "exactly what the inventory says" in project.keyrung("key", "drift").stdout
    server = project.stack.openbao.server
    client = server.client(token=project.stack.layout.openbao.token("deployer").read_text().strip())
    client.call("POST", "keyrung/keys/policy-signing-copy/config", {"deletion_allowed": True})
    client.call("DELETE", "keyrung/keys/policy-signing-copy")
    done = project.keyrung("key", "drift", "--json", check=False)
    assert done.returncode == 1
    found = [(each["kind"], each["uri"]) for each in json.loads(done.stdout)["findings"]]
    assert found == [("missing", "transit:mount=keyrung;name=policy-signing-copy")]
