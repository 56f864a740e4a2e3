"""Sealing a token's key and restoring it: what comes out is the same identity, and nothing ever lies open."""

import secrets
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from support.escrow import NOW, Site, custodians, open_token
from support.softhsm import make_token, point_at
from support.stores import verifies

from keyrung_infra.tools import Tools
from keyrung_provisioners.api import KeySpec, Purpose
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyAlteredError,
    KeyConflictError,
    KeyRefusedError,
    ShareRefusedError,
)
from keyrung_provisioners.escrow import envelope as envelopes
from keyrung_provisioners.escrow.ceremony import Plan, Target, reshare, seal
from keyrung_provisioners.escrow.memory import erased_after
from keyrung_provisioners.escrow.restoring import restore
from keyrung_provisioners.escrow.share import open_share
from keyrung_provisioners.inventory import Claim
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri


def _signs_as_recorded(site: Site, uri: KeyUri, public_key_pem: str) -> bool:
    return verifies(public_key_pem, b"data", site.manager.sign(uri, b"data"))


def test_an_escrowed_key_is_active_locked_and_says_in_its_evidence_that_it_is_escrowed(site: Site) -> None:
    row = site.provision()

    assert row.state is KeyState.ACTIVE
    evidence = dict(row.evidence or {})
    assert evidence["CKA_NEVER_EXTRACTABLE"] is False
    assert evidence["CKA_EXTRACTABLE"] is False
    assert evidence["CKA_SENSITIVE"] is True
    assert evidence["escrowed"] is True
    assert evidence["escrow_set"] == site.envelope(row).set_id
    with pytest.raises(KeyRefusedError, match="does not let"):
        site.manager.wrap(site.uri, bytearray(32))


def test_every_step_of_an_escrowed_keys_life_is_an_event(site: Site) -> None:
    site.provision()

    assert [event.event for _, event in site.inventory.events()] == [
        "key.claimed",
        "key.created",
        "key.escrowed",
        "key.activated",
    ]


def test_every_quorum_restores_the_same_identity_into_another_token(
    site: Site, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = site.provision()
    envelope = site.envelope(row)
    other = make_token(tmp_path / "other", tools)
    point_at(other.config, other.module, monkeypatch)
    manager = open_token(other)

    for number, quorum in enumerate(combinations((1, 2, 3), 2)):
        uri = KeyUri("pkcs11", other.label, f"back-{number}")
        found = restore(envelope, site.custodians.open(envelope, quorum), manager, uri, token_bytes=secrets.token_bytes)

        assert found.fingerprint == row.fingerprint
        assert found.claim_id == row.claim_id
        assert found.attributes["CKA_EXTRACTABLE"] is False
        assert found.attributes["CKA_SENSITIVE"] is True
        assert found.attributes["CKA_LOCAL"] is False
        with pytest.raises(KeyRefusedError):
            manager.wrap(uri, bytearray(32))


def test_restoring_twice_is_done_once(site: Site) -> None:
    row = site.provision()
    envelope = site.envelope(row)
    shares = site.custodians.open(envelope, (1, 3))
    uri = KeyUri("pkcs11", site.token.label, "back")

    for _ in range(2):
        restore(envelope, shares, site.manager, uri, token_bytes=secrets.token_bytes)
    assert _signs_as_recorded(site, uri, row.public_key_pem or "")


def test_restoring_onto_another_key_is_refused_and_leaves_it(site: Site) -> None:
    row = site.provision()
    envelope = site.envelope(row)
    spec = KeySpec(
        uri=KeyUri("pkcs11", site.token.label, "other"),
        algorithm="P-256",
        purpose=Purpose.AUDIT_SIGNING,
        claim_id=bytes(16),
    )
    before = site.manager.create(spec)

    with pytest.raises(KeyConflictError):
        restore(
            envelope, site.custodians.open(envelope, (1, 2)), site.manager, spec.uri, token_bytes=secrets.token_bytes
        )
    assert site.manager.describe(spec.uri) == before


def test_half_a_pair_left_by_a_crash_is_completed(site: Site) -> None:
    envelope = site.envelope(site.provision())
    shares = site.custodians.open(envelope, (2, 3))
    uri = KeyUri("pkcs11", site.token.label, "back")
    restore(envelope, shares, site.manager, uri, token_bytes=secrets.token_bytes)
    session = site.manager._session(uri.vault)  # type: ignore[attr-defined]
    session.run(lambda opened: next(iter(_public(opened, uri.name))).destroy())

    found = restore(envelope, shares, site.manager, uri, token_bytes=secrets.token_bytes)

    assert found.fingerprint == envelope.key.fingerprint


def _public(session: Any, label: str) -> list[Any]:
    from pkcs11.constants import Attribute, ObjectClass  # noqa: PLC0415

    return list(session.get_objects({Attribute.LABEL: label, Attribute.CLASS: ObjectClass.PUBLIC_KEY}))


def test_one_share_less_is_refused_in_a_sentence_that_says_how_many_are_missing(site: Site) -> None:
    site = site.with_custodians(custodians(threshold=3, count=4))
    envelope = site.envelope(site.provision())
    uri = KeyUri("pkcs11", site.token.label, "back")

    for indexes, sentence in (((1, 4), "1 more share is needed"), ((2,), "2 more shares are needed"), ((), "3 more")):
        with pytest.raises(ShareRefusedError, match=sentence) as refused:
            restore(
                envelope,
                site.custodians.open(envelope, indexes),
                site.manager,
                uri,
                token_bytes=secrets.token_bytes,
            )
        assert refused.value.fields["missing"] == str(3 - len(indexes))


def test_a_key_that_was_not_declared_escrowed_cannot_be_sealed(site: Site) -> None:
    claim = Claim(owner="urn:b", generation=1, uri=site.uri, algorithm="P-256", purpose=Purpose.AUDIT_SIGNING)
    row = site.provisioner().provision(claim, site.manager)
    target = Target(uri=site.uri, generation=1, purpose=Purpose.AUDIT_SIGNING, fingerprint=row.fingerprint or "")

    with pytest.raises(KeyRefusedError, match="declared"):
        seal(target, site.manager, site.custodians.plan, token_bytes=secrets.token_bytes, now=NOW)


def test_a_swapped_key_is_not_sealed(site: Site) -> None:
    site.provision()
    target = Target(uri=site.uri, generation=1, purpose=Purpose.AUDIT_SIGNING, fingerprint="another")

    with pytest.raises((KeyAlteredError, KeyRefusedError)):
        seal(target, site.manager, site.custodians.plan, token_bytes=secrets.token_bytes, now=NOW)


def test_a_wrong_wrapping_key_opens_nothing(site: Site) -> None:
    wrapped = site.envelope(site.provision()).key.wrapped

    with pytest.raises(KeyRefusedError, match="did not open"):
        site.manager.rehearse(site.uri.vault_uri, wrapped, bytearray(32), b"x")


def test_wrapping_leaves_no_object_behind(site: Site) -> None:
    site.provision()

    listed = site.manager._session(site.token.label).run(  # type: ignore[attr-defined]
        lambda session: [str(entry) for entry in session.get_objects()]
    )
    assert len(listed) == 2


def test_a_token_without_aes_kwp_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyrung_provisioners.backends.pkcs11 import wrapping  # noqa: PLC0415
    from keyrung_provisioners.backends.pkcs11.quirks import Quirks  # noqa: PLC0415

    monkeypatch.setattr(wrapping, "quirks", lambda _token: Quirks(kwp_answer=b"not what this token gives"))

    with pytest.raises(BackendUnavailableError, match="no AES-KWP"):
        site.provision()
    assert [row.state for row in site.inventory.rows()] == [KeyState.PRE_ACTIVATION]


def test_a_custodian_named_twice_is_refused(site: Site) -> None:
    recipient = site.custodians.plan.recipients[0]

    with pytest.raises(InvalidSettingError, match="named twice"):
        Plan(threshold=2, recipients=(recipient, recipient))


def test_the_envelope_holds_no_key_words_or_private_byte(site: Site) -> None:
    envelope = site.envelope(site.provision())
    data = envelopes.encode(envelope)

    for share in site.custodians.open(envelope, (1, 2, 3)):
        assert share.words.encode() not in data
        assert share.words not in repr(share)
    assert b"PRIVATE" not in data


def test_a_secret_is_overwritten_after_use_also_when_the_use_failed() -> None:
    secret = bytearray(b"secret")
    with pytest.raises(RuntimeError), erased_after(secret):
        raise RuntimeError

    assert secret == bytes(6)


def test_resharing_gives_the_same_key_to_other_custodians_and_nothing_to_the_old(site: Site) -> None:
    old = site.envelope(site.provision())
    heirs = custodians(threshold=3, count=4)
    opened = site.custodians.open(old, (1, 2))

    new = reshare(old, opened, site.manager, site.uri.vault_uri, heirs.plan, token_bytes=secrets.token_bytes, now=NOW)

    assert new.set_id != old.set_id
    assert new.key.wrapped.ciphertext != old.key.wrapped.ciphertext
    uri = KeyUri("pkcs11", site.token.label, "back")
    found = restore(new, heirs.open(new, (4, 2, 1)), site.manager, uri, token_bytes=secrets.token_bytes)
    assert found.fingerprint == old.key.fingerprint
    for key in site.custodians.keys:
        with pytest.raises(ShareRefusedError, match="no share of set"):
            open_share(new, key)
    with pytest.raises(ShareRefusedError, match="belongs to the set"):
        restore(new, opened, site.manager, uri, token_bytes=secrets.token_bytes)


def test_resharing_leaves_no_object_behind_and_wants_a_quorum(site: Site) -> None:
    old = site.envelope(site.provision())
    plan, vault = custodians().plan, site.uri.vault_uri

    with pytest.raises(ShareRefusedError, match="1 more share"):
        reshare(
            old, site.custodians.open(old, (3,)), site.manager, vault, plan, token_bytes=secrets.token_bytes, now=NOW
        )
    reshare(old, site.custodians.open(old, (3, 1)), site.manager, vault, plan, token_bytes=secrets.token_bytes, now=NOW)

    listed = site.manager._session(site.token.label).run(  # type: ignore[attr-defined]
        lambda session: [str(entry) for entry in session.get_objects()]
    )
    assert len(listed) == 2
