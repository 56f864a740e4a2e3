"""What somebody who holds an envelope or some shares may try: every attempt is refused and names what is wrong."""

import json
import secrets
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.escrow import Site, custodians

from keyrung_provisioners.errors import EnvelopeRefusedError, ProvisionerError, ShareRefusedError
from keyrung_provisioners.escrow import envelope as envelopes
from keyrung_provisioners.escrow import quorum
from keyrung_provisioners.escrow import share as shares
from keyrung_provisioners.escrow.custodian import CustodianKey
from keyrung_provisioners.escrow.envelope import Envelope, share_digest
from keyrung_provisioners.escrow.share import OpenShare, open_share


@pytest.fixture
def envelope(site: Site) -> Envelope:
    return site.envelope(site.provision())


def _edited(envelope: Envelope, edit: Any) -> bytes:
    document = json.loads(envelopes.encode(envelope))
    edit(document)
    return json.dumps(document).encode()


def test_a_share_given_twice_is_named(site: Site, envelope: Envelope) -> None:
    one = site.custodians.open(envelope, (2,))[0]

    with pytest.raises(ShareRefusedError, match=r"share 2 .* given twice"):
        quorum.wrapping_key(envelope, [one, one])


def test_a_share_of_another_set_is_named(site: Site, envelope: Envelope) -> None:
    own, foreign = site.custodians.open(envelope, (1, 2))

    with pytest.raises(ShareRefusedError, match="share 2 belongs to the set 0000") as refused:
        quorum.wrapping_key(envelope, [own, replace(foreign, set_id="0" * 32)])
    assert refused.value.fields == {"set": "0" * 32, "index": "2"}


def _forged(envelope: Envelope, share: OpenShare, words: str) -> OpenShare:
    return replace(share, words=words, digest=share_digest(envelope.binding, share.index, words))


def test_an_altered_share_is_named_even_when_its_own_digest_was_made_anew(site: Site, envelope: Envelope) -> None:
    first, second = site.custodians.open(envelope, (1, 2))
    swapped = " ".join(reversed(second.words.split()))

    for altered in (
        replace(second, words=swapped),
        _forged(envelope, second, swapped),
        _forged(envelope, second, first.words),
        replace(second, digest="0" * 64),
    ):
        with pytest.raises(ShareRefusedError, match=r"share 2 .* is altered"):
            quorum.wrapping_key(envelope, [first, altered])


def test_a_renumbered_share_is_refused(site: Site, envelope: Envelope) -> None:
    first, second = site.custodians.open(envelope, (1, 2))

    for index in (1, 3, 9):
        with pytest.raises(ShareRefusedError, match=f"share {index} "):
            quorum.wrapping_key(envelope, [first, replace(second, index=index)])


def test_a_lower_threshold_in_the_envelope_opens_nothing(site: Site) -> None:
    site = site.with_custodians(custodians(threshold=3, count=3))
    envelope = site.envelope(site.provision())
    opened = site.custodians.open(envelope, (1, 2))
    lowered = envelopes.decode(_edited(envelope, lambda document: document.update(threshold=2)))

    with pytest.raises(ShareRefusedError, match="another envelope"):
        quorum.wrapping_key(lowered, opened)
    with pytest.raises(ShareRefusedError, match=r"another envelope|altered"):
        quorum.wrapping_key(lowered, [replace(each, binding=lowered.binding, threshold=2) for each in opened])
    with pytest.raises(ShareRefusedError, match="cannot be opened"):
        open_share(lowered, site.custodians.keys[0])


def test_a_share_moved_to_another_recipients_place_does_not_open(site: Site, envelope: Envelope) -> None:
    def swap(document: Any) -> None:
        first, second = document["shares"][:2]
        first["sealed"], second["sealed"] = second["sealed"], first["sealed"]

    swapped = envelopes.decode(_edited(envelope, swap))
    with pytest.raises(ShareRefusedError, match=r"share 1 .* cannot be opened"):
        open_share(swapped, site.custodians.keys[0])


def test_a_stranger_finds_no_share(envelope: Envelope) -> None:
    with pytest.raises(ShareRefusedError, match="no share of set"):
        open_share(envelope, CustodianKey.generate(secrets.token_bytes))


def test_a_lost_share_leaves_the_quorum_of_the_others(site: Site, envelope: Envelope) -> None:
    full = quorum.wrapping_key(envelope, site.custodians.open(envelope, (1, 2, 3)))

    assert quorum.wrapping_key(envelope, site.custodians.open(envelope, (2, 3))) == full


_EDITS: dict[str, Any] = {
    "unknown member": lambda d: d.update(more=1),
    "missing member": lambda d: d.pop("wrapped"),
    "other format": lambda d: d.update(keyrung="escrow-envelope/v2"),
    "threshold of one": lambda d: d.update(threshold=1),
    "threshold above count": lambda d: d.update(threshold=4),
    "threshold as text": lambda d: d.update(threshold="2"),
    "threshold as truth": lambda d: d.update(threshold=True),
    "no shares": lambda d: d.update(shares=[]),
    "share missing": lambda d: d["shares"].pop(0),
    "share twice": lambda d: d["shares"].append(dict(d["shares"][0], index=4)),
    "numbered from zero": lambda d: d["shares"][0].update(index=0),
    "no recipient": lambda d: d["shares"][0].update(recipient="me"),
    "short digest": lambda d: d["shares"][0].update(digest="00"),
    "padded text": lambda d: d["wrapped"].update(ciphertext=d["wrapped"]["ciphertext"] + "="),
    "odd wrapped length": lambda d: d["wrapped"].update(ciphertext="AAAA"),
    "other fingerprint": lambda d: d["key"].update(fingerprint="x"),
    "no public key": lambda d: d["key"].update(public_key_pem="x"),
    "public key left out": lambda d: d["key"].pop("public_key_pem"),
    "passed off as a symmetric key": lambda d: (d["key"].pop("public_key_pem"), d["key"].update(algorithm="AES-256")),
    "secret in the URI": lambda d: d["key"].update(uri=d["key"]["uri"] + "?pin-value=1"),
    "other purpose": lambda d: d["key"].update(purpose="everything"),
    "generation zero": lambda d: d["key"].update(generation=0),
    "time without zone": lambda d: d.update(created_at="2026-01-02T03:04:05"),
    "no such day": lambda d: d.update(created_at="2026-02-31T03:04:05Z"),
}


@pytest.mark.parametrize("edit", _EDITS.values(), ids=_EDITS)
def test_a_malformed_envelope_is_refused(envelope: Envelope, edit: Any) -> None:
    with pytest.raises(EnvelopeRefusedError):
        envelopes.decode(_edited(envelope, edit))


def test_an_envelope_that_repeats_a_member_or_is_no_json_is_refused(envelope: Envelope) -> None:
    good = envelopes.encode(envelope)
    repeated = good.replace(b'"threshold": 2', b'"threshold": 3,\n  "threshold": 2')

    for bad in (repeated, b"", b"{}", b"null", b"\xff\xfe", b"[" * 100_000, good + b"x", b" " * 300_000, b'{"a": NaN}'):
        with pytest.raises(EnvelopeRefusedError):
            envelopes.decode(bad)


def test_an_envelope_survives_its_file(envelope: Envelope) -> None:
    assert envelopes.decode(envelopes.encode(envelope)) == envelope


def test_an_open_share_survives_its_file(site: Site, envelope: Envelope) -> None:
    one = site.custodians.open(envelope, (1,))[0]

    assert shares.decode(shares.encode(one)) == one


@given(st.binary(max_size=200))
def test_random_bytes_are_neither_envelope_nor_share(data: bytes) -> None:
    for decode in (envelopes.decode, shares.decode):
        with pytest.raises(ProvisionerError):
            decode(data)
