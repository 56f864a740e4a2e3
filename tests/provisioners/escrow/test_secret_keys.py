"""Escrow of a key that seals: it has no public half, so the token's check value proves that the same key is back."""

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from support.escrow import NOW, Site, custodians, open_token
from support.openbao import OpenBaoServer
from support.softhsm import make_token, point_at
from support.stores import vault_manager

from keyrung_infra.tools import Tools
from keyrung_provisioners.api import Custody, KeySpec, Purpose, WrappedKey
from keyrung_provisioners.errors import (
    EnvelopeRefusedError,
    KeyAlteredError,
    KeyConflictError,
    KeyMissingError,
    KeyRefusedError,
    ShareRefusedError,
)
from keyrung_provisioners.escrow import envelope as envelopes
from keyrung_provisioners.escrow import quorum, restoring
from keyrung_provisioners.escrow.ceremony import Target, reshare, seal
from keyrung_provisioners.escrow.drill import drill
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.restoring import Scratch, restore
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_SEED = b"a person's TOTP seed"


@pytest.fixture
def site(site: Site) -> Site:
    return replace(site, algorithm="AES-256")


@pytest.fixture
def envelope(site: Site) -> Envelope:
    return site.envelope(site.provision())


def _beside(site: Site) -> KeyUri:
    return KeyUri("pkcs11", site.token.label, "back")


def _other_key_wrapped(site: Site, wrapping_key: bytearray) -> WrappedKey:
    """Return another AES key of the token, wrapped."""
    spec = KeySpec(
        uri=KeyUri("pkcs11", site.token.label, "another"),
        algorithm="AES-256",
        purpose=Purpose.KEK,
        claim_id=secrets.token_bytes(16),
        custody=Custody.ESCROWING,
    )
    site.manager.create(spec)
    return site.manager.wrap(spec.uri, wrapping_key)


def test_its_evidence_says_that_it_could_leave_once_and_is_locked(site: Site, envelope: Envelope) -> None:
    row = site.inventory.find(site.uri)
    assert row is not None
    assert (row.state, row.custody, row.public_key_pem) == (KeyState.ACTIVE, Custody.ESCROWED, None)
    evidence = dict(row.evidence or {})
    assert (evidence["CKA_NEVER_EXTRACTABLE"], evidence["CKA_EXTRACTABLE"]) == (False, False)
    assert (evidence["escrowed"], evidence["escrow_set"]) == (True, envelope.set_id)
    with pytest.raises(KeyRefusedError, match="does not let"):
        site.manager.wrap(site.uri, bytearray(32))


def test_what_it_sealed_before_and_after_its_escrow_opens_in_another_token_by_every_quorum(
    site: Site, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early: list[str] = []

    def reached(point: str) -> None:
        if point == "escrow":
            early.append(site.manager.seal(site.uri, _SEED, context=b"ada"))

    row = site.provisioner(reached).provision(site.claim, site.manager)
    envelope = site.envelope(row)
    texts = [*early, site.manager.seal(site.uri, _SEED, context=b"ada")]
    other = make_token(tmp_path / "other", tools)
    point_at(other.config, other.module, monkeypatch)
    manager = open_token(other)

    for number, some in enumerate(combinations((1, 2, 3), 2)):
        uri = KeyUri("pkcs11", other.label, f"back-{number}")
        found = restore(envelope, site.custodians.open(envelope, some), manager, uri, token_bytes=secrets.token_bytes)
        assert (found.fingerprint, found.claim_id) == (row.fingerprint, row.claim_id)
        assert (found.attributes["CKA_EXTRACTABLE"], found.attributes["CKA_LOCAL"]) == (False, False)
        assert [manager.open(uri, text, context=b"ada") for text in texts] == [_SEED, _SEED]
        with pytest.raises(KeyRefusedError):
            manager.open(uri, texts[0], context=b"bo")
        with pytest.raises(KeyRefusedError):
            manager.wrap(uri, bytearray(32))


def test_a_drill_restores_by_every_quorum_and_leaves_nothing(site: Site, envelope: Envelope) -> None:
    opened = site.custodians.open(envelope, (1, 2, 3))
    report = drill(envelope, opened, site.manager, site.uri.vault_uri, token_bytes=secrets.token_bytes)
    assert (report.quorums, report.refused, report.complete) == (3, 3, True)
    assert site.manager.names(site.uri.vault_uri) == [site.uri.name]


def test_one_share_short_restores_nothing(site: Site, envelope: Envelope) -> None:
    for index in (1, 2, 3):
        with pytest.raises(ShareRefusedError, match="1 more share is needed"):
            restore(
                envelope,
                site.custodians.open(envelope, (index,)),
                site.manager,
                _beside(site),
                token_bytes=secrets.token_bytes,
            )
    with pytest.raises(KeyMissingError):
        site.manager.describe(_beside(site))


def test_restoring_twice_is_done_once_and_never_over_another_key(site: Site, envelope: Envelope) -> None:
    opened, uri = site.custodians.open(envelope, (1, 3)), _beside(site)
    first = restore(envelope, opened, site.manager, uri, token_bytes=secrets.token_bytes)
    assert restore(envelope, opened, site.manager, uri, token_bytes=secrets.token_bytes) == first

    taken = KeyUri("pkcs11", site.token.label, "taken")
    spec = KeySpec(uri=taken, algorithm="AES-256", purpose=Purpose.KEK, claim_id=bytes(16))
    standing = site.manager.create(spec)
    with pytest.raises(KeyConflictError):
        restore(envelope, opened, site.manager, taken, token_bytes=secrets.token_bytes)
    assert site.manager.describe(taken) == standing


def test_resharing_gives_the_same_key_to_other_custodians(site: Site, envelope: Envelope) -> None:
    heirs, opened = custodians(threshold=3, count=4), site.custodians.open(envelope, (1, 2))
    vault, before = site.uri.vault_uri, site.manager.seal(site.uri, _SEED, context=b"ada")

    new = reshare(envelope, opened, site.manager, vault, heirs.plan, token_bytes=secrets.token_bytes, now=NOW)

    assert new.key.wrapped.ciphertext != envelope.key.wrapped.ciphertext
    assert site.manager.names(vault) == [site.uri.name]
    shares = heirs.open(new, (4, 2, 1))
    restore(new, shares, site.manager, _beside(site), token_bytes=secrets.token_bytes)
    assert site.manager.open(_beside(site), before, context=b"ada") == _SEED
    with pytest.raises(ShareRefusedError, match="belongs to the set"):
        restore(new, opened, site.manager, _beside(site), token_bytes=secrets.token_bytes)


def test_an_altered_ciphertext_opens_nothing_and_leaves_nothing(site: Site, envelope: Envelope) -> None:
    wrapped, secret = envelope.key.wrapped, quorum.wrapping_key(envelope, site.custodians.open(envelope, (1, 2)))
    for place in (0, 20, -1):
        altered = bytearray(wrapped.ciphertext)
        altered[place] ^= 1
        with pytest.raises(KeyRefusedError, match="did not open"):
            site.manager.import_wrapped(_beside(site), replace(wrapped, ciphertext=bytes(altered)), secret)
    with pytest.raises(KeyMissingError):
        site.manager.describe(_beside(site))


def test_an_envelope_with_another_keys_ciphertext_is_told_by_its_shares(site: Site, envelope: Envelope) -> None:
    opened = site.custodians.open(envelope, (1, 2))
    other = _other_key_wrapped(site, quorum.wrapping_key(envelope, opened))
    swapped = replace(
        envelope, key=replace(envelope.key, wrapped=replace(envelope.key.wrapped, ciphertext=other.ciphertext))
    )
    with pytest.raises(ShareRefusedError, match="another envelope"):
        restore(swapped, opened, site.manager, _beside(site), token_bytes=secrets.token_bytes)


def test_another_key_that_the_right_shares_open_is_never_stored(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever seals another key under the recorded fingerprint is found by the rehearsal, before anything is stored."""
    envelope = site.envelope(site.provision())
    opened = site.custodians.open(envelope, (1, 2))
    secret = quorum.wrapping_key(envelope, opened)
    lying = replace(envelope.key.wrapped, ciphertext=_other_key_wrapped(site, bytearray(secret)).ciphertext)
    monkeypatch.setattr(restoring, "wrapping_key", lambda *_: secret)
    with pytest.raises(KeyAlteredError, match="not the recorded one: its fingerprint is aes-256-ecb:"):
        restore(
            replace(envelope, key=replace(envelope.key, wrapped=lying)),
            opened,
            site.manager,
            _beside(site),
            token_bytes=secrets.token_bytes,
        )
    with pytest.raises(KeyMissingError):
        site.manager.describe(_beside(site))


def test_a_swapped_key_is_not_sealed(site: Site) -> None:
    other = _other_key_wrapped(site, bytearray(32))
    uri = KeyUri("pkcs11", site.token.label, "another")
    target = Target(uri=uri, generation=1, purpose=Purpose.KEK, fingerprint=other.fingerprint[:-1] + "_")
    with pytest.raises(KeyAlteredError, match="the store holds another key"):
        seal(target, site.manager, site.custodians.plan, token_bytes=secrets.token_bytes, now=NOW)


def test_it_is_not_restored_where_it_could_not_open_what_it_sealed(
    site: Site, envelope: Envelope, openbao: OpenBaoServer
) -> None:
    manager = vault_manager(openbao.settings("deployer"))
    uri = KeyUri("transit", "keyrung", openbao.key_name("kek"))
    scratch = Scratch(manager=site.manager, vault=site.uri.vault_uri)
    opened = site.custodians.open(envelope, (1, 2))
    with pytest.raises(KeyRefusedError, match="could not open there what it sealed in its token"):
        restore(envelope, opened, manager, uri, token_bytes=secrets.token_bytes, scratch=scratch)
    with pytest.raises(KeyMissingError):
        manager.describe(uri)


def test_its_envelope_has_no_public_key_and_survives_its_file(envelope: Envelope) -> None:
    data = envelopes.encode(envelope)
    assert "public_key_pem" not in json.loads(data)["key"]
    assert envelopes.decode(data) == envelope


_EDITS: dict[str, Callable[[Any], object]] = {
    "a public key": lambda key: key.update(public_key_pem="-----BEGIN PUBLIC KEY-----"),
    "an empty public key": lambda key: key.update(public_key_pem=""),
    "null for a public key": lambda key: key.update(public_key_pem=None),
    "a pair's algorithm": lambda key: key.update(algorithm="P-256"),
    "an unknown algorithm": lambda key: key.update(algorithm="AES-128"),
    "no fingerprint": lambda key: key.pop("fingerprint"),
}


@pytest.mark.parametrize("edit", _EDITS.values(), ids=_EDITS)
def test_an_envelope_that_shows_a_public_half_or_another_kind_is_refused(
    envelope: Envelope, edit: Callable[[Any], object]
) -> None:
    document = json.loads(envelopes.encode(envelope))
    edit(document["key"])
    with pytest.raises(EnvelopeRefusedError):
        envelopes.decode(json.dumps(document).encode())
