"""`pulumi import` takes over custodians, a quorum and an escrowed key; a kek of the same program may hold a share."""

import json

import pytest
from support.deployment import inventory, resources
from support.escrowed_project import URI, EscrowedProject
from support.project import Project

_KEK_PROGRAM = """
from keyrung_infra.resources import Custodian, Escrow, Key, KeyVault
from keyrung_provisioners.api import Purpose

token, transit = KeyVault("token", uri="pkcs11:token=keyrung"), KeyVault("transit", uri="transit:mount=keyrung")
kek = Key("kek", vault=transit.uri, key_name="kek-shares", purpose=Purpose.KEK, algorithm="AES-256",
    deletion_protection=False)
custodians = [Custodian("ada", recipient="{person}"), Custodian("safe", recipient=kek.uri)]
Key("key", vault=token.uri, key_name="policy-signing-one", purpose=Purpose.POLICY_SIGNING, deletion_protection=False,
    escrow=Escrow("escrow", threshold=2, custodians=custodians))
"""


@pytest.fixture
def site(pulumi_project: Project) -> EscrowedProject:
    return EscrowedProject(pulumi_project)


def _import(site: EscrowedProject, kind: str, name: str, resource_id: str) -> str:
    how = ("--yes", "--skip-preview", "--generate-code=false", "--protect=false")
    done = site.project.pulumi("import", f"keyrung:index:{kind}", name, resource_id, *how, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_what_was_escrowed_by_command_is_taken_over_with_its_escrow(site: EscrowedProject) -> None:
    people = site.custodians("ada", "bo")
    softhsm = site.project.stack.layout.softhsm
    recipients = [part for recipient in people.values() for part in ("--recipient", recipient)]
    made = site.keyrung(
        *("escrow", "create", URI, "--purpose", "policy-signing", "--threshold", "2", *recipients),
        *("--module", f"file:{softhsm.module}", "--pin", f"file:{softhsm.pin}"),
    )
    (path,) = site.envelopes()
    wrong = _import(site, "Key", "key", f"audit-signing@{URI}")
    assert f"{URI} was made for policy-signing" in wrong
    for kind, name, resource_id in (
        *(("Custodian", name, f"{name}@{recipient}") for name, recipient in people.items()),
        ("Escrow", "escrow", str(path.relative_to(site.project.root))),
        ("Key", "key", f"policy-signing@{URI}"),
    ):
        assert _import(site, kind, name, resource_id) == ""
    key = site.key()
    assert (key["thumbprint"], key["envelope"]["set"]) == (made["key"]["fingerprint"], made["set"])
    assert key["escrow"]["custodians"] == list(people.values())
    assert resources(site.project)["escrow"]["inputs"]["threshold"] == 2
    (row,) = inventory(site.project).rows()
    assert row.claim.owner.endswith("::key")
    site.declare(people)
    site.up()  # the program alone says what is not imported: the vault, and that nothing is protected
    assert site.key()["thumbprint"] == key["thumbprint"]
    site.project.pulumi("destroy", "--yes", "--skip-preview")
    assert site.envelopes() == []


def test_a_kek_of_the_same_program_holds_a_share(site: EscrowedProject) -> None:
    program = _KEK_PROGRAM.format(**{"person": site.custodians("ada")["ada"]})
    (site.project.root / "infra" / "__main__.py").write_text(program)
    site.project.pulumi("preview")
    site.up()
    kek = resources(site.project)["kek"]["outputs"]["uri"]
    (path,) = site.envelopes()
    assert [share["recipient"] for share in json.loads(path.read_text())["shares"]][1] == kek
    assert site.key()["state"] == "active"
    site.up("--expect-no-changes")
