"""A key that seals, escrowed by one declaration and brought back; without an escrow the plan says the risk."""

import pytest
from support.deployment import inventory, states, token_objects
from support.escrowed_project import URI, EscrowedProject
from support.project import Project

_NAMES = ("ada", "bo", "cy")
_KEY = ["secret policy-signing-one"]
_RISK = "This kek key has no escrow and never leaves its token: whoever loses the token loses all that the key sealed"


@pytest.fixture
def site(pulumi_project: Project) -> EscrowedProject:
    return EscrowedProject(pulumi_project, purpose="kek", algorithm="AES-256")


def test_a_kek_is_escrowed_without_a_warning_lost_and_brought_back(site: EscrowedProject) -> None:
    site.declare(site.custodians(*_NAMES))
    assert "warning:" not in site.project.pulumi("preview").stdout
    site.up()
    made, (path,) = site.key(), site.envelopes()
    evidence = made["evidence"]
    assert (made["state"], made["publicKeyPem"], made["envelope"]["state"]) == ("active", "", "escrowed")
    assert (evidence["escrowed"], evidence["CKA_NEVER_EXTRACTABLE"], evidence["CKA_EXTRACTABLE"]) == (
        True,
        False,
        False,
    )
    site.up("--expect-no-changes")
    shares = site.open_shares(path, _NAMES)
    drilled = site.keyrung("escrow", "drill", str(path), *shares)
    assert (drilled["fingerprint"], drilled["quorums"], drilled["refused"]) == (made["thumbprint"], 3, 3)

    softhsm = site.project.stack.layout.softhsm
    access = ("--module", f"file:{softhsm.module}", "--pin", f"file:{softhsm.pin}")
    site.project.run(
        *("pkcs11-tool", "--module", softhsm.module.read_text().strip(), "--token-label", "keyrung", "--login"),
        *("--pin", softhsm.pin.read_text().strip(), "--delete-object", "--type", "secrkey"),
        *("--label", "policy-signing-one"),
    )
    assert "the store has no such key" in site.refused("refresh")
    assert site.keyrung("escrow", "recover", str(path), "--to", URI, *access, *shares[:4])["inventory_updated"]
    assert token_objects(site.project) == _KEY
    site.project.pulumi("refresh", "--yes", "--skip-preview")
    after = site.key()
    assert (after["thumbprint"], after["envelope"]["state"]) == (made["thumbprint"], "restored")
    site.project.pulumi("destroy", "--yes", "--skip-preview")
    assert (site.envelopes(), token_objects(site.project)) == ([], [])
    assert list(states(site.project).values()) == ["destroyed"]


def test_without_an_escrow_the_plan_says_what_losing_the_token_means_and_makes_the_key(site: EscrowedProject) -> None:
    site.declare({"ada": site.custodians("ada")["ada"], **site.custodians("bo")}, escrowed=False)
    assert _RISK in site.project.pulumi("preview").stdout
    site.up()
    assert token_objects(site.project) == _KEY
    assert site.key()["evidence"]["CKA_NEVER_EXTRACTABLE"] is True
    assert _RISK not in site.project.pulumi("preview").stdout
    assert [event.event for _, event in inventory(site.project).events()] == [
        "key.claimed",
        "key.created",
        "key.activated",
    ]
