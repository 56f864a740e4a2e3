"""From a declaration to one living key, whatever comes in between."""

import pytest
from pkcs11 import Attribute, ObjectClass
from support.openbao import OpenBaoServer
from support.provisioning import CrashError, Workshop
from support.raw_keys import generate_raw, raw_session
from support.softhsm import SoftHsmToken
from support.stores import spec, verifies

from keyrung_provisioners.api import Purpose
from keyrung_provisioners.backends.pkcs11 import objects
from keyrung_provisioners.checks import check_identity
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.states import KeyState

_POINTS = ("claimed", "generate", "generated", "activate")
_STEPS = ["key.claimed", "key.created", "key.activated"]


def test_a_declared_key_comes_to_life_once(key: Workshop) -> None:
    row = key.provision()
    assert row.state is KeyState.ACTIVE
    assert key.provision() == row
    assert key.count() == 1
    assert key.events() == _STEPS
    assert verifies(row.public_key_pem, b"data", key.manager().sign(key.uri, b"data"))


@pytest.mark.parametrize("point", _POINTS)
def test_a_run_that_was_interrupted_is_finished_with_the_same_single_key(key: Workshop, point: str) -> None:
    with pytest.raises(CrashError):
        key.provision(crash_at=point)
    made = key.manager().describe(key.uri).fingerprint if key.count() else None
    assert all(row.state is KeyState.PRE_ACTIVATION for row in key.inventory.rows())
    row = key.provision()
    assert row.state is KeyState.ACTIVE
    assert made in {None, row.fingerprint}
    assert key.count() == 1
    assert key.events() == [step if point != "generated" else step.replace("created", "adopted") for step in _STEPS]


@pytest.mark.parametrize("point", _POINTS)
def test_a_killed_process_leaves_what_the_next_one_finishes(key: Workshop, point: str) -> None:
    key.killed_at(point)
    before = key.count()
    row = key.provision()
    assert (row.state, key.count()) == (KeyState.ACTIVE, 1)
    assert before == (point in {"generated", "activate"})
    assert len(key.inventory.rows()) == 1


def test_two_processes_at_the_same_moment_make_one_key(key: Workshop) -> None:
    children = [key.start_child() for _ in range(2)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    printed = {child.communicate(timeout=60)[0].strip() for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert printed == {key.provision().fingerprint}
    assert key.count() == 1
    assert key.events() == _STEPS


def test_a_key_that_stood_there_before_is_refused_every_time_and_left_alone(key: Workshop) -> None:
    key.make_foreign()
    before = key.manager().describe(key.uri)
    for _ in range(2):  # a second run must not take the first one's claim for a proof
        with pytest.raises(KeyConflictError, match="pulumi import"):
            key.provision()
    assert key.manager().describe(key.uri) == before
    assert key.inventory.rows() == []


def test_a_foreign_key_that_came_after_the_claim_is_told_by_its_id(token_key: Workshop) -> None:
    with pytest.raises(CrashError):
        token_key.provision(crash_at="generate")
    token_key.make_foreign()
    with pytest.raises(KeyConflictError, match="pulumi import"):
        token_key.provision()
    with pytest.raises(KeyConflictError):
        token_key.provisioner().retire("urn:test", 1, token_key.manager())
    assert token_key.count() == 1


@pytest.mark.parametrize("lost", [ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY])
@pytest.mark.parametrize("ours", [True, False])
def test_half_a_pair_is_replaced_only_if_it_carries_our_claim(
    token_key: Workshop, softhsm_token: SoftHsmToken, lost: ObjectClass, ours: bool
) -> None:
    with pytest.raises(CrashError):
        token_key.provision(crash_at="generate")
    claim_id = token_key.inventory.rows()[0].claim_id
    with raw_session(softhsm_token) as session:
        generate_raw(session, token_key.uri.name, {}, key_id=claim_id if ours else b"somebody else's")
        for half in list(session.get_objects({Attribute.LABEL: token_key.uri.name, Attribute.CLASS: lost})):
            half.destroy()
    if ours:
        assert token_key.provision().state is KeyState.ACTIVE
        assert token_key.count() == 1
    else:
        with pytest.raises(KeyConflictError, match="pulumi import"):
            token_key.provision()


def test_a_recorded_key_that_is_gone_is_never_made_again(key: Workshop) -> None:
    row = key.provision()
    key.manager().destroy(key.uri)
    with pytest.raises(KeyMissingError, match="raise `generation` to 2") as caught:
        key.provision()
    assert str(row.fingerprint) in str(caught.value)
    assert caught.value.fields["found"] == "none"
    assert key.count() == 0


def test_another_key_under_the_name_is_told_by_both_thumbprints(key: Workshop) -> None:
    row = key.provision()
    key.manager().destroy(key.uri)
    key.make_foreign()
    found = key.manager().describe(key.uri).fingerprint
    with pytest.raises(KeyAlteredError) as caught:
        key.provision()
    assert (caught.value.fields["recorded"], caught.value.fields["found"]) == (row.fingerprint, found)
    assert str(row.fingerprint) in str(caught.value)
    assert found in str(caught.value)


def test_a_swapped_private_half_is_noticed(token_key: Workshop, softhsm_token: SoftHsmToken) -> None:
    row = token_key.provision()
    name = token_key.uri.name
    with raw_session(softhsm_token) as session:
        for half in list(session.get_objects({Attribute.LABEL: name, Attribute.CLASS: ObjectClass.PRIVATE_KEY})):
            half.destroy()
        generate_raw(session, name, {}, key_id=b"intruder")
        kind = {Attribute.ID: b"intruder", Attribute.CLASS: ObjectClass.PUBLIC_KEY}
        for half in list(session.get_objects(kind)):
            half.destroy()
    with pytest.raises(KeyAlteredError, match="do not belong together"):
        check_identity(row, token_key.manager())


def test_a_key_that_got_weaker_is_told_by_the_attribute(vault_key: Workshop, openbao: OpenBaoServer) -> None:
    row = vault_key.provision()
    openbao.client("deployer").call("POST", f"keyrung/keys/{vault_key.uri.name}/config", {"exportable": True})
    with pytest.raises(KeyAlteredError, match="exportable") as caught:
        check_identity(row, vault_key.manager())
    assert caught.value.fields["attributes"] == "exportable"


def test_a_key_made_too_weak_is_never_active(token_key: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objects.PRIVATE_TEMPLATE, Attribute.DECRYPT, True)
    for _ in range(2):
        with pytest.raises(KeyRefusedError, match="CKA_DECRYPT"):
            token_key.provision()
    assert token_key.inventory.rows()[0].state is KeyState.PRE_ACTIVATION


def test_an_existing_key_that_is_strong_is_taken_over_once(key: Workshop) -> None:
    key.make_foreign()
    manager = key.manager()
    row = key.provisioner().take_over("urn:test", key.uri, Purpose.POLICY_SIGNING, manager)
    assert row.state is KeyState.ACTIVE
    assert row.fingerprint == manager.describe(key.uri).fingerprint
    assert key.provisioner().take_over("urn:test", key.uri, Purpose.POLICY_SIGNING, manager) == row
    assert key.provision() == row
    assert key.events() == ["key.claimed", "key.adopted", "key.activated"]
    with pytest.raises(KeyConflictError, match="belongs to"):
        key.provisioner().take_over("urn:other", key.uri, Purpose.POLICY_SIGNING, manager)


def test_a_weak_key_is_not_taken_over_and_not_claimed(token_key: Workshop, softhsm_token: SoftHsmToken) -> None:
    with raw_session(softhsm_token) as session:
        generate_raw(session, token_key.uri.name, {Attribute.EXTRACTABLE: True})
    with pytest.raises(KeyRefusedError, match="CKA_EXTRACTABLE"):
        token_key.provisioner().take_over("urn:test", token_key.uri, Purpose.POLICY_SIGNING, token_key.manager())
    assert token_key.inventory.rows() == []


def test_retiring_twice_is_retiring_once(key: Workshop) -> None:
    key.provision()
    for _ in range(2):
        key.provisioner().retire("urn:test", 1, key.manager())
    assert key.count() == 0
    assert key.events() == [*_STEPS, "key.destroyed"]
    key.provisioner().retire("urn:nobody", 1, key.manager())
    with pytest.raises(KeyRefusedError, match="raise `generation` to 2"):
        key.provision()
    assert key.count() == 0


def test_a_destroyed_generation_does_not_come_back_by_import(key: Workshop) -> None:
    key.provision()
    key.provisioner().retire("urn:test", 1, key.manager())
    key.make_foreign()
    with pytest.raises(KeyRefusedError, match="cannot come back"):
        key.provisioner().take_over("urn:test", key.uri, Purpose.POLICY_SIGNING, key.manager())


def test_retiring_goes_on_where_a_crash_stopped_it(key: Workshop) -> None:
    key.provision()
    with pytest.raises(CrashError):
        key.provisioner(crash_at="destroy").retire("urn:test", 1, key.manager())
    key.manager().destroy(key.uri)
    key.provisioner().retire("urn:test", 1, key.manager())
    assert key.events()[-1] == "key.destroyed"


def test_a_key_that_is_not_ours_is_not_destroyed(key: Workshop) -> None:
    row = key.provision()
    key.manager().destroy(key.uri)
    key.make_foreign()
    with pytest.raises(KeyAlteredError) as caught:
        key.provisioner().retire("urn:test", 1, key.manager())
    assert caught.value.fields["recorded"] == row.fingerprint
    assert key.count() == 1


def test_a_key_of_an_unsupported_type_is_a_conflict(token_key: Workshop, softhsm_token: SoftHsmToken) -> None:
    with raw_session(softhsm_token) as session:
        generate_raw(session, token_key.uri.name, {}, curve="secp521r1")
    with pytest.raises(KeyConflictError, match="unsupported type"):
        token_key.provision()
    assert token_key.inventory.rows() == []
    with pytest.raises(KeyConflictError):
        token_key.manager().create(spec(token_key.uri))
