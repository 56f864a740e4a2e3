"""The escrow commands with a key that seals: made by its purpose, drilled, handed to others, and brought back."""

import json

import pytest
from support.escrow import open_token
from support.escrow_desk import Desk
from support.openbao import OpenBaoServer
from support.softhsm import second_token

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Custody, Purpose
from keyrung_provisioners.checks import check_identity
from keyrung_provisioners.errors import KeyMissingError
from keyrung_provisioners.uri import KeyUri


@pytest.mark.parametrize("purpose", [Purpose.KEK, Purpose.CREDENTIAL_SEED])
def test_create_makes_such_a_key_by_its_purpose_and_warns_of_nothing(desk: Desk, purpose: Purpose) -> None:
    code, made = desk.create(desk.recipients(), purpose=purpose)
    assert (code, made["state"], made["key"]["algorithm"], made["key"]["purpose"]) == (0, "active", "AES-256", purpose)
    assert "warning" not in made
    assert "public_key_pem" not in made["key"]
    assert made["key"]["fingerprint"].startswith("aes-256-ecb:")
    shown = desk.keyrung("escrow", "inspect", made["file"])
    assert f"generation 1, AES-256, {purpose}\nfingerprint  {made['key']['fingerprint']}" in shown.stdout


def test_a_lost_key_comes_back_and_opens_what_it_sealed_and_the_inventory_stays_true(desk: Desk) -> None:
    envelope = desk.create(desk.recipients(), purpose="kek")[1]["file"]
    manager, uri = open_token(desk.token), KeyUri.parse(desk.uri)
    sealed = manager.seal(uri, b"a seed", context=b"ada")
    manager.destroy(uri)
    options = [*desk.share_options(desk.open(envelope, 3, 1)), "--to", desk.uri, *desk.access]

    code, done = desk.run("escrow", "recover", envelope, *options)

    assert (code, done["proven"], done["already_there"], done["inventory_updated"]) == (0, True, False, True), done
    assert manager.open(uri, sealed, context=b"ada") == b"a seed"
    inventory = SqliteInventory(desk.root / ".keyrung" / "inventory.db")
    row = inventory.find(uri)
    assert row is not None
    assert (row.custody, (row.evidence or {})["restored"]) == (Custody.RESTORED, True)
    assert check_identity(row, manager).fingerprint == row.fingerprint
    assert [event.event for _, event in inventory.events()][-1] == "key.restored"
    told = desk.keyrung("escrow", "recover", envelope, *options)
    assert told.stdout == f"{desk.uri} was there already and seals as {row.fingerprint}\n"


def test_recovering_it_into_another_token_is_recorded_with_its_key(desk: Desk) -> None:
    envelope = desk.create(desk.recipients(), purpose="kek")[1]["file"]
    second_token(desk.token, "spare")
    target = "pkcs11:token=spare;object=kek"
    sealed = open_token(desk.token).seal(KeyUri.parse(desk.uri), b"a seed", context=b"ada")
    options = desk.share_options(desk.open(envelope, 1, 2))

    code, done = desk.run("escrow", "recover", envelope, *options, "--to", target, *desk.access)

    assert (code, done["proven"], done["inventory_updated"]) == (0, True, True), done
    assert open_token(desk.token).open(KeyUri.parse(target), sealed, context=b"ada") == b"a seed"
    (row,) = SqliteInventory(desk.root / ".keyrung" / "inventory.db").rows()
    assert (row.evidence or {})["restored_to"] == target


def test_recover_into_transit_is_refused_in_a_sentence_that_says_why(desk: Desk, openbao: OpenBaoServer) -> None:
    envelope = desk.create(desk.recipients(), purpose="kek")[1]["file"]
    settings = openbao.settings("deployer")
    access = ["--transit-address", settings["transitAddress"], "--transit-token", settings["transitToken"]]
    target = f"transit:mount=keyrung;name={openbao.key_name('kek')}"
    code, refused = desk.run(
        *("escrow", "recover", envelope, *desk.share_options(desk.open(envelope, 1, 2)), "--to", target),
        *(*access, "--transit-ca", settings["transitCaFile"]),
    )
    assert code == 1
    assert "could not open there what it sealed in its token" in refused["error"]["message"]
    assert "restore it into a PKCS#11 token" in refused["error"]["message"]


def test_one_share_short_touches_nothing(desk: Desk) -> None:
    envelope = desk.create(desk.recipients(), purpose="kek")[1]["file"]
    other = f"pkcs11:token={desk.token.label};object=back"
    options = [*desk.share_options(desk.open(envelope, 2)), "--to", other, *desk.access]
    code, refused = desk.run("escrow", "recover", envelope, *options)
    assert code == 1
    assert refused["error"]["message"].startswith("1 more share is needed")
    with pytest.raises(KeyMissingError):
        open_token(desk.token).describe(KeyUri.parse(other))


def test_it_is_drilled_and_other_custodians_take_over(desk: Desk) -> None:
    envelope = desk.create(desk.recipients(), purpose="credential-seed")[1]["file"]
    paths = desk.open(envelope, 1, 2, 3)
    named = [part for recipient in desk.recipients("heir") for part in ("--recipient", recipient)]

    drilled = desk.keyrung("escrow", "drill", envelope, *desk.share_options(paths), "--json")
    options = [*desk.share_options(paths[:2]), "--threshold", "2", *named, "--json"]
    reshared = desk.keyrung("escrow", "reshare", envelope, *options)

    report, answer = json.loads(drilled.stdout), json.loads(reshared.stdout)
    assert (report["quorums"], report["refused"], report["complete"]) == (3, 3, True)
    assert (answer["inventory_updated"], answer["key"]["fingerprint"]) == (True, report["fingerprint"])
    heirs = [str(desk.root / f"heir-share-{number}") for number in (1, 2)]
    for number, path in enumerate(heirs, start=1):
        key = ("--key", str(desk.root / f"heir-{number}"), "--passphrase", "none")
        assert desk.run("escrow", "share", "open", envelope, *key, "--out", path)[0] == 0
    again = desk.keyrung("escrow", "drill", envelope, *desk.share_options(heirs), "--json")
    assert json.loads(again.stdout)["fingerprint"] == report["fingerprint"]
