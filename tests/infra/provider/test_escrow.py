"""One declaration makes an escrowed key: sealed and test-restored before it is active, and its envelope follows it."""

import json
import subprocess

import pytest
from support.deployment import inventory, states, token_objects
from support.escrowed_project import URI, EscrowedProject
from support.project import Project
from support.secrets import files, leaks, secrets_of

_NAMES = ("ada", "bo", "cy")


@pytest.fixture
def site(pulumi_project: Project) -> EscrowedProject:
    return EscrowedProject(pulumi_project)


def _events(site: EscrowedProject) -> list[str]:
    return [event.event for _, event in inventory(site.project).events()]


def test_an_escrowed_key_is_sealed_restored_active_and_removed_with_its_envelope(site: EscrowedProject) -> None:
    people = site.custodians(*_NAMES)
    site.declare(people, protected=True)
    plan = site.project.pulumi("preview").stdout
    assert "warning: This policy-signing key will be escrowed: any 2 of 3 custodians together can sign in" in plan
    assert "SP 800-57 part 1 advises against archiving private signature keys" in plan
    assert token_objects(site.project) == []

    site.up()
    made, (path,) = site.key(), site.envelopes()
    envelope = json.loads(path.read_text())
    assert (made["state"], made["escrow"]["custodians"]) == ("active", list(people.values()))
    assert made["envelope"] == {
        "path": str(path.relative_to(site.project.root)),
        "set": envelope["set"],
        "createdAt": envelope["created_at"],
        "shareDigests": [share["digest"] for share in envelope["shares"]],
        "state": "escrowed",
    }
    evidence = made["evidence"]
    assert (evidence["escrowed"], evidence["CKA_NEVER_EXTRACTABLE"], evidence["CKA_EXTRACTABLE"]) == (
        True,
        False,
        False,
    )
    assert _events(site) == ["key.claimed", "key.created", "key.escrowed", "key.activated"]
    site.up("--expect-no-changes")
    assert "warning:" not in site.project.pulumi("preview").stdout
    site.project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")

    drilled = site.keyrung("escrow", "drill", str(path), *site.open_shares(path, _NAMES))
    assert drilled == {
        "set": envelope["set"],
        "fingerprint": made["thumbprint"],
        "quorums": 3,
        "refused": 3,
        "complete": True,
    }

    assert "protected" in site.refused("destroy")
    assert site.envelopes() == [path]
    site.declare(people)
    site.up()
    site.project.pulumi("destroy", "--yes", "--skip-preview")
    assert (site.envelopes(), token_objects(site.project)) == ([], [])
    assert list(states(site.project).values()) == ["destroyed"]
    assert leaks(secrets_of(site.project.stack.layout), files(site.project.stack.layout.pulumi_state)) == []


def test_other_custodians_are_refused_in_the_preview_until_they_took_over(site: EscrowedProject) -> None:
    people = site.custodians(*_NAMES)
    others = {"ada": people["ada"], **site.custodians("di", "ed")}
    site.declare(people, protected=True)
    site.up()
    (path,) = site.envelopes()
    before = path.read_bytes()

    site.declare(others, threshold=3, protected=True)
    for command in ("preview", "up"):
        written = site.refused(command)
        assert f"{URI} is sealed to other custodians, and only a quorum of those can seal it anew" in written
        assert f"keyrung escrow reshare {path.relative_to(site.project.root)} --threshold 3 --recipient" in written
    assert path.read_bytes() == before

    recipients = [part for recipient in others.values() for part in ("--recipient", recipient)]
    shares = site.open_shares(path, ("ada", "cy"))
    answer = site.keyrung("escrow", "reshare", str(path), *shares, "--threshold", "3", *recipients)
    site.up()
    made = site.key()
    assert (made["envelope"]["set"], made["evidence"]["escrow_set"]) == (answer["set"], answer["set"])
    assert made["escrow"]["threshold"] == 3
    site.up("--expect-no-changes")


def test_a_refresh_sees_that_custodians_took_over_and_the_old_ones_no_longer_count(site: EscrowedProject) -> None:
    people, others = site.custodians(*_NAMES), site.custodians("di", "ed")
    site.declare(people)
    site.up()
    (path,) = site.envelopes()
    recipients = [part for recipient in others.values() for part in ("--recipient", recipient)]
    site.keyrung(
        *("escrow", "reshare", str(path), "--threshold", "2"), *site.open_shares(path, ("ada", "bo")), *recipients
    )
    site.project.pulumi("refresh", "--yes", "--skip-preview")
    assert site.key()["escrow"]["custodians"] == list(others.values())
    assert "is sealed to other custodians" in site.refused("preview")
    site.declare(others)
    site.up()
    assert site.key()["escrow"]["custodians"] == list(others.values())


def test_escrow_is_decided_when_a_key_is_made_and_the_folder_may_change(site: EscrowedProject) -> None:
    people = site.custodians(*_NAMES)
    site.declare(people, escrowed=False)
    site.up()
    assert (site.envelopes(), site.key().get("envelope")) == ([], None)
    site.declare(people)
    assert "made without escrow and never leaves its store" in (written := site.refused("preview"))
    assert "`pulumi config set keyGeneration 2`) together with it" in written

    site.declare(people, generation=2)
    site.up()
    (path,) = site.envelopes()
    site.declare(people, generation=2, escrowed=False)
    assert "is escrowed, and so is every generation after it" in site.refused("preview")

    kept = path.read_bytes()
    site.declare(people, generation=2, folder="safe")
    site.up()
    (moved,) = site.envelopes("safe")
    assert (moved.read_bytes(), site.envelopes()) == (kept, [])
    assert site.key()["envelope"]["path"] == f"safe/{moved.name}"


def test_a_lost_or_altered_envelope_fails_the_refresh_and_a_copy_mends_it(site: EscrowedProject) -> None:
    site.declare(site.custodians(*_NAMES))
    site.up()
    (path,) = site.envelopes()
    kept = path.read_bytes()
    path.unlink()
    assert f"the escrow envelope of {URI} is not at" in site.refused("refresh")
    path.write_text(json.dumps(json.loads(kept) | {"threshold": 4}))
    assert "the escrow envelope is not well-formed" in site.refused("refresh")
    path.write_bytes(kept)
    site.project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_lost_key_comes_back_by_a_quorum_though_a_share_is_lost_or_altered(site: EscrowedProject) -> None:
    site.declare(site.custodians(*_NAMES))
    site.up()
    made, (path,) = site.key(), site.envelopes()
    shares = site.open_shares(path, ("bo", "cy"))  # the share of ada is lost
    softhsm = site.project.stack.layout.softhsm
    access = ("--module", f"file:{softhsm.module}", "--pin", f"file:{softhsm.pin}")
    before = token_objects(site.project)
    site.project.run(
        *("pkcs11-tool", "--module", softhsm.module.read_text().strip(), "--token-label", "keyrung", "--login"),
        *("--pin", softhsm.pin.read_text().strip(), "--delete-object", "--type", "privkey"),
        *("--label", "policy-signing-one"),
    )
    assert "the store has no such key" in site.refused("refresh")

    share = site.project.root / "cy.share"
    whole = share.read_text()
    words = json.loads(whole)["words"].split()
    share.write_text(whole.replace(" ".join(words), " ".join(words[::-1])))
    recover = ("escrow", "recover", str(path), "--to", URI, *access)
    for given, reason in ((shares, "share 3 of set"), (shares[:2], "1 more share is needed")):
        failed = site.project.keyrung(*recover, *given, check=False)
        assert failed.returncode != 0
        assert reason in failed.stderr
    share.write_text(whole)
    done = site.keyrung(*recover, *shares)
    assert done["proven"]
    assert done["inventory_updated"]
    assert token_objects(site.project) == before
    site.project.pulumi("refresh", "--yes", "--skip-preview")
    after = site.key()
    assert (after["thumbprint"], after["envelope"]["state"]) == (made["thumbprint"], "restored")
    text = subprocess.run(
        ["openssl", "pkey", "-pubin", "-text", "-noout"],
        input=after["publicKeyPem"],
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    assert "prime256v1" in text
