"""Shares sealed to a key in Transit: only that key opens them, and only in their place."""

from pathlib import Path
from typing import Any

import pytest
from support.escrow import Site
from support.openbao import OpenBaoServer

from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.errors import InvalidSettingError, ShareRefusedError
from keyrung_provisioners.escrow import quorum
from keyrung_provisioners.escrow.ceremony import Plan
from keyrung_provisioners.escrow.key_recipient import KeyRecipient
from keyrung_provisioners.escrow.recipients import parse_recipient
from keyrung_provisioners.escrow.share import open_share
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri


@pytest.fixture
def transit(openbao: OpenBaoServer) -> KeyManager:
    return open_manager("transit", openbao.settings("verifier"), root=Path("/"))


def _seal_key(openbao: OpenBaoServer) -> KeyUri:
    """Make a key that the verifier's role may use; the local roles allow seed keys by their name only."""
    name = openbao.key_name("credential-seed")
    with openbao.root() as root:
        root.call("POST", f"keyrung/keys/{name}", {"type": "aes256-gcm96"})
    return KeyUri("transit", "keyrung", name)


def test_a_share_sealed_to_a_transit_key_takes_part_in_a_quorum(
    site: Site, openbao: OpenBaoServer, transit: KeyManager
) -> None:
    keeper = parse_recipient(str(_seal_key(openbao)), stores=lambda _scheme: transit)
    people = site.custodians.plan.recipients[:2]
    envelope = _sealed(site, Plan(threshold=2, recipients=(people[0], keeper, people[1])))

    opened = open_share(envelope, KeyRecipient.parse(str(keeper), transit))
    other = open_share(envelope, site.custodians.keys[1])

    assert (opened.index, other.index) == (2, 3)
    assert len(quorum.wrapping_key(envelope, [opened, other])) == 32


def test_a_transit_sealed_share_opens_in_its_own_context_only(openbao: OpenBaoServer, transit: KeyManager) -> None:
    keeper = KeyRecipient(_seal_key(openbao), transit)
    sealed = keeper.seal(b"a share", context=b"here")

    assert keeper.open(sealed, context=b"here") == b"a share"
    for bad, context in ((sealed, b"there"), (sealed[:-4] + b"AAA=", b"here"), (b"\xff", b"here")):
        with pytest.raises(ShareRefusedError):
            keeper.open(bad, context=context)


def test_without_its_store_a_key_recipient_is_a_name_only() -> None:
    recipient = parse_recipient("transit:mount=keyrung;name=x")

    with pytest.raises(InvalidSettingError, match="not at hand"):
        recipient.seal(b"", context=b"")


@pytest.mark.parametrize("text", ["transit:name=x;mount=keyrung", "transit:mount=keyrung", "transit:mount=k;name=%78"])
def test_a_key_recipient_has_one_spelling(text: str) -> None:
    with pytest.raises(InvalidSettingError):
        parse_recipient(text)


def _sealed(site: Site, plan: Plan) -> Any:
    provisioner = site.provisioner()
    from dataclasses import replace  # noqa: PLC0415

    keeper = replace(provisioner.escrow, plan=plan)  # type: ignore[type-var]
    row = replace(provisioner, escrow=keeper).provision(site.claim, site.manager)
    return site.envelope(row)
