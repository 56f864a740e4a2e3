"""The escrow commands, from a custodian's key to a restored one, as people and scripts run them."""

import json
import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.escrow import open_token
from support.escrow_desk import Desk
from support.openbao import OpenBaoServer
from support.softhsm import second_token
from support.stores import spec, vault_manager, verifies

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Custody, KeySpec, Purpose
from keyrung_provisioners.checks import check_identity
from keyrung_provisioners.errors import KeyMissingError
from keyrung_provisioners.uri import KeyUri


@pytest.fixture
def envelope(desk: Desk) -> str:
    code, made = desk.create(desk.recipients())
    assert code == 0, made
    return str(made["file"])


def _error(answer: tuple[int, Any]) -> str:
    code, document = answer
    assert code == 1
    message: str = document["error"]["message"]
    assert "\n" not in message
    return message


def test_a_custodians_key_file_is_private_and_never_overwritten(desk: Desk) -> None:
    path = desk.root / "key"
    code, made = desk.run("custodian", "keygen", "--out", str(path), "--passphrase", "none")

    assert code == 0
    assert made["recipient"].startswith("hpke-x25519:")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "exists already" in _error(desk.run("custodian", "keygen", "--out", str(path), "--passphrase", "none"))


def test_a_passphrase_is_not_asked_for_where_it_would_be_echoed(desk: Desk) -> None:
    answer = desk.run("custodian", "keygen", "--out", str(desk.root / "key"))
    assert "there is no terminal" in _error(answer)
    assert not (desk.root / "key").exists()


def test_a_protected_key_file_opens_with_its_passphrase_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIGHT", "correct horse")
    monkeypatch.setenv("WRONG", "battery staple")
    path = str(desk.root / "custodian-1")
    code, made = desk.run("custodian", "keygen", "--out", path, "--passphrase", "env:RIGHT")
    assert (code, made["encrypted"]) == (0, True)
    other = desk.run("custodian", "keygen", "--out", str(desk.root / "x"), "--passphrase", "none")[1]["recipient"]
    sealed = desk.create([made["recipient"], other])[1]["file"]
    opening = ("escrow", "share", "open", sealed, "--key", path, "--out", str(desk.root / "share"), "--passphrase")

    assert "passphrase" in _error(desk.run(*opening, "env:WRONG"))
    assert desk.run(*opening, "env:RIGHT")[0] == 0
    assert stat.S_IMODE((desk.root / "share").stat().st_mode) == 0o600


def test_create_makes_an_active_key_and_says_what_escrowing_a_signing_key_means(desk: Desk) -> None:
    recipients = desk.recipients()
    code, made = desk.create(recipients)

    assert (code, made["state"], made["threshold"]) == (0, "active", 2)
    assert [share["recipient"] for share in made["shares"]] == recipients
    assert "SP 800-57" in made["warning"]
    assert stat.S_IMODE(Path(made["file"]).stat().st_mode) == 0o600


def test_create_again_finds_the_same_escrow(desk: Desk) -> None:
    recipients = desk.recipients()

    assert desk.create(recipients)[1]["set"] == desk.create(recipients)[1]["set"]


def test_create_refuses_a_key_that_was_not_declared_escrowed_and_says_why(desk: Desk) -> None:
    open_token(desk.token).create(
        KeySpec(uri=KeyUri.parse(desk.uri), algorithm="P-256", purpose=Purpose.AUDIT_SIGNING, claim_id=bytes(16))
    )

    assert "never extractable" in _error(desk.create(desk.recipients()))


def test_inspect_shows_who_holds_shares_and_nothing_sealed(desk: Desk, envelope: str) -> None:
    code, shown = desk.run("escrow", "inspect", envelope)

    assert (code, shown["threshold"], len(shown["shares"])) == (0, 2, 3)
    assert shown["key"]["uri"] == desk.uri
    assert "wrapped" not in shown
    assert all("sealed" not in share for share in shown["shares"])


def test_share_verify_names_a_wrong_share(desk: Desk, envelope: str) -> None:
    first, second = desk.open(envelope, 1, 2)
    assert desk.run("escrow", "share", "verify", envelope, first, second)[1]["valid"] == [1, 2]

    document = json.loads(Path(second).read_text())
    words = document["words"].split()
    words[8], words[9] = words[9], words[8]
    Path(second).write_text(json.dumps({**document, "words": " ".join(words)}))
    answer = desk.run("escrow", "share", "verify", envelope, first, second)

    assert "share 2 " in _error(answer)
    assert answer[1]["error"]["fields"]["index"] == "2"
    assert document["words"] not in json.dumps(answer)


def test_recover_brings_a_lost_key_back_and_the_inventory_stays_true(desk: Desk, envelope: str) -> None:
    manager, uri = open_token(desk.token), KeyUri.parse(desk.uri)
    manager.destroy(uri)
    options = desk.share_options(desk.open(envelope, 3, 1))

    code, done = desk.run("escrow", "recover", envelope, *options, "--to", desk.uri, *desk.access)

    assert code == 0, done
    assert (done["proven"], done["already_there"], done["inventory_updated"]) == (True, False, True)
    inventory = SqliteInventory(desk.root / ".keyrung" / "inventory.db")
    row = inventory.find(uri)
    assert row is not None
    assert row.custody is Custody.RESTORED
    assert (row.evidence or {})["restored"] is True
    assert check_identity(row, manager).fingerprint == row.fingerprint
    assert [event.event for _, event in inventory.events()][-1] == "key.restored"

    again = desk.run("escrow", "recover", envelope, *options, "--to", desk.uri, *desk.access)[1]
    assert (again["already_there"], again["inventory_updated"]) == (True, False)


def _transit_access(openbao: OpenBaoServer) -> tuple[str, ...]:
    settings = openbao.settings("deployer")
    return (
        *("--transit-address", settings["transitAddress"]),
        *("--transit-token", settings["transitToken"]),
        *("--transit-ca", settings["transitCaFile"]),
    )


def test_recover_brings_a_lost_key_back_in_transit_where_it_signs_as_the_recorded_one(
    desk: Desk, envelope: str, openbao: OpenBaoServer
) -> None:
    inventory = SqliteInventory(desk.root / ".keyrung" / "inventory.db")
    (row,) = inventory.rows()
    open_token(desk.token).destroy(row.claim.uri)
    target = f"transit:mount=keyrung;name={openbao.key_name('policy-signing')}"
    options = [*desk.share_options(desk.open(envelope, 1, 3)), "--to", target, *_transit_access(openbao)]

    code, done = desk.run("escrow", "recover", envelope, *options)

    assert (code, done["uri"], done["proven"], done["inventory_updated"]) == (0, target, True, True)
    manager = vault_manager(openbao.settings("deployer"))
    uri = KeyUri.parse(target)
    assert manager.describe(uri).fingerprint == row.fingerprint == done["fingerprint"]
    assert verifies(row.public_key_pem, b"data", manager.sign(uri, b"data"))
    (updated,) = inventory.rows()
    assert (updated.evidence or {})["restored_to"] == target
    assert [event.event for _, event in inventory.events()][-1] == "key.restored"
    code, again = desk.run("escrow", "recover", envelope, *options)
    assert (code, again.get("already_there"), again.get("inventory_updated")) == (0, True, False), again


def test_recover_into_transit_touches_no_other_key_and_needs_the_quorum(
    desk: Desk, envelope: str, openbao: OpenBaoServer
) -> None:
    manager = vault_manager(openbao.settings("deployer"))
    standing = manager.create(spec(KeyUri("transit", "keyrung", openbao.key_name("policy-signing"))))
    to = ("--to", str(standing.uri), *_transit_access(openbao))
    one = desk.share_options(desk.open(envelope, 1))
    assert "1 more share" in _error(desk.run("escrow", "recover", envelope, *one, *to))
    two = [*one, *desk.share_options(desk.open(envelope, 2))]
    assert "another key stands under" in _error(desk.run("escrow", "recover", envelope, *two, *to))
    assert manager.describe(standing.uri) == standing


@pytest.mark.parametrize("target", ["transit:mount=keyrung;name=policy-signing-x", "pkcs11:token=t;object=o"])
def test_recover_says_how_the_store_is_to_be_named(desk: Desk, envelope: str, target: str) -> None:
    options = desk.share_options(desk.open(envelope, 1, 2))
    assert "add --" in _error(desk.run("escrow", "recover", envelope, *options, "--to", target))


def test_recover_one_share_short_says_how_many_are_missing_and_touches_nothing(desk: Desk, envelope: str) -> None:
    other = f"pkcs11:token={desk.token.label};object=back"
    options = desk.share_options(desk.open(envelope, 2))

    message = _error(desk.run("escrow", "recover", envelope, *options, "--to", other, *desk.access))

    assert message.startswith("1 more share is needed")
    with pytest.raises(KeyMissingError):
        open_token(desk.token).describe(KeyUri.parse(other))


def test_recover_refuses_a_name_under_which_the_inventory_has_another_key(desk: Desk, envelope: str) -> None:
    options = desk.share_options(desk.open(envelope, 1, 2))
    document = json.loads(Path(envelope).read_text())
    inventory = SqliteInventory(desk.root / ".keyrung" / "inventory.db")
    row = inventory.find(KeyUri.parse(desk.uri))
    assert row is not None
    with closing(sqlite3.connect(desk.root / ".keyrung" / "inventory.db")) as connection, connection:
        connection.execute("UPDATE keys SET fingerprint = 'another'")

    message = _error(desk.run("escrow", "recover", envelope, *options, "--to", desk.uri, *desk.access))

    assert "another" in message
    assert document["key"]["fingerprint"] in message


def test_a_drill_restores_by_every_quorum_and_refuses_every_set_one_short(desk: Desk, envelope: str) -> None:
    paths = desk.open(envelope, 1, 2, 3)

    whole = desk.keyrung("escrow", "drill", envelope, *desk.share_options(paths), "--json")
    part = desk.keyrung("escrow", "drill", envelope, *desk.share_options(paths[:2]))

    assert whole.returncode == 0, whole.stdout
    report = json.loads(whole.stdout)
    assert (report["quorums"], report["refused"], report["complete"]) == (3, 3, True)
    assert part.returncode == 0, part.stderr
    assert re.search(r"^quorums that restored \S+: 1; sets one short that were refused: 2$", part.stdout, re.MULTILINE)
    assert "Not rehearsed" in part.stdout


def test_a_drill_finds_an_altered_envelope(desk: Desk, envelope: str) -> None:
    paths = desk.open(envelope, 1, 2)
    document = json.loads(Path(envelope).read_text())
    document["key"]["generation"] = 2
    Path(envelope).write_text(json.dumps(document))

    done = desk.keyrung("escrow", "drill", envelope, *desk.share_options(paths))

    assert done.returncode == 1
    assert "share 1 " in done.stderr
    assert "another envelope" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_text_for_people_is_short_and_shows_no_share(desk: Desk, envelope: str) -> None:
    shown = desk.keyrung("escrow", "inspect", envelope)

    assert shown.returncode == 0
    assert "quorum       2 of 3" in shown.stdout
    assert shown.stderr == ""


def test_a_missing_or_malformed_file_is_one_sentence(desk: Desk, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"{")

    assert "No such file" in _error(desk.run("escrow", "inspect", str(tmp_path / "none")))
    assert "envelope is not well-formed" in _error(desk.run("escrow", "inspect", str(junk)))


def test_a_key_in_a_custodians_own_token_may_hold_a_share(desk: Desk) -> None:
    second_token(desk.token, "custodian")
    settings = desk.token.settings()
    module, pin = settings["pkcs11Module"], settings["pkcs11Pin"]
    keeper = "pkcs11:token=custodian;object=share-1"
    code, made = desk.run("custodian", "keygen", "--uri", keeper, "--module", module, "--pin", pin)
    assert (code, made["recipient"]) == (0, keeper)
    assert made["evidence"]["CKA_NEVER_EXTRACTABLE"]
    access = ("--custodian-module", module, "--custodian-pin", pin)
    code, sealed = desk.create([keeper, *desk.recipients()[:1]], *access)
    assert code == 0, sealed

    share = str(desk.root / "share-k")
    done = desk.keyrung("escrow", "share", "open", sealed["file"], "--as", keeper, *access, "--out", share)
    assert done.returncode == 0, done.stderr
    code, opened = desk.run(
        *("escrow", "share", "open", sealed["file"], "--key", str(desk.root / "custodian-1"), "--passphrase", "none"),
        *("--out", str(desk.root / "share-p")),
    )
    assert (code, opened["index"]) == (0, 2)
    code, drilled = desk.run("escrow", "drill", sealed["file"], "--share", share, "--share", str(desk.root / "share-p"))
    assert (code, drilled["quorums"], drilled["complete"]) == (0, 1, True)


def test_a_key_beside_the_escrowed_one_holds_no_share_of_it(desk: Desk) -> None:
    beside = f"pkcs11:token={desk.token.label};object=share-1"
    settings = desk.token.settings()
    access = ("--custodian-module", settings["pkcs11Module"], "--custodian-pin", settings["pkcs11Pin"])
    reason = _error(desk.create([beside, *desk.recipients()[:1]], *access))
    assert f"{beside} is in the vault of the key whose escrow it would share in" in reason


def test_a_transit_key_may_hold_a_share(desk: Desk, openbao: OpenBaoServer) -> None:
    name = openbao.key_name("credential-seed")  # what the local role of the verifier may use
    with openbao.root() as root:
        root.call("POST", f"keyrung/keys/{name}", {"type": "aes256-gcm96"})
    settings = openbao.settings("verifier")
    access = ["--transit-address", settings["transitAddress"], "--transit-token", settings["transitToken"]]
    access += ["--transit-ca", settings["transitCaFile"]]
    keeper = f"transit:mount=keyrung;name={name}"

    assert "not at hand" in _error(desk.create([keeper, desk.recipients()[0]]))
    code, made = desk.create([keeper, *desk.recipients("more")], *access)
    assert code == 0, made
    opening = ("escrow", "share", "open", made["file"], "--as", keeper, "--out", str(desk.root / "share"))
    assert desk.run(*opening, *access)[1]["index"] == 1
    assert desk.run("escrow", "share", "verify", made["file"], str(desk.root / "share"))[1]["valid"] == [1]


def test_a_share_is_not_sealed_to_a_key_that_has_another_purpose(desk: Desk, envelope: str) -> None:
    seed = "transit:mount=keyrung;name=seed"
    with closing(sqlite3.connect(desk.root / ".keyrung" / "inventory.db")) as connection, connection:
        connection.execute("UPDATE keys SET uri = ?, purpose = 'credential-seed'", (seed,))

    assert "one purpose" in _error(desk.create([seed, desk.recipients("more")[0]]))


def test_opening_a_share_wants_one_way_to_open_it(desk: Desk, envelope: str) -> None:
    code, answer = desk.run("escrow", "share", "open", envelope, "--out", "x")

    assert code == 2
    assert "either --key or --as" in answer["error"]["message"]


def test_reshare_replaces_the_envelope_and_says_what_old_copies_mean(desk: Desk, envelope: str) -> None:
    old = Path(envelope).read_text()
    options = desk.share_options(desk.open(envelope, 1, 3))
    heirs = desk.recipients("heir")
    named = [part for recipient in heirs for part in ("--recipient", recipient)]

    done = desk.keyrung("escrow", "reshare", envelope, *options, "--threshold", "3", *named, "--json")

    assert done.returncode == 0, done.stdout
    answer = json.loads(done.stdout)
    assert answer["replaced"] == json.loads(old)["set"]
    assert "old quorum" in answer["warning"]
    assert "rotate" in answer["warning"]
    assert answer["inventory_updated"] is True
    shown = desk.run("escrow", "inspect", envelope)[1]
    assert (shown["set"], shown["threshold"]) == (answer["set"], 3)
    assert [share["recipient"] for share in shown["shares"]] == heirs
    row = SqliteInventory(desk.root / ".keyrung" / "inventory.db").find(KeyUri.parse(desk.uri))
    assert row is not None
    assert (row.evidence or {})["escrow_set"] == answer["set"]
    assert check_identity(row, open_token(desk.token)).fingerprint == shown["key"]["fingerprint"]
