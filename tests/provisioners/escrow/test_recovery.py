"""Recovery under faults: interrupted anywhere it is finished by the next run, and what is over stays over."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.escrow import Site

from keyrung_provisioners.api import Custody
from keyrung_provisioners.checks import check_identity, describe_or_none
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.recovery import Recovery, recover
from keyrung_provisioners.inventory import KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri


@pytest.fixture(params=["P-256", "AES-256"])
def site(request: pytest.FixtureRequest, site: Site) -> Site:
    return replace(site, algorithm=request.param)


class _CrashError(Exception):
    """Stands for the end of the process."""


def _crash(step: str) -> None:
    if step == "prove":
        raise _CrashError


def _recover(
    site: Site, envelope: Envelope, uri: KeyUri, reached: Callable[[str], None] = lambda _step: None
) -> Recovery:
    return recover(
        envelope,
        site.custodians.open(envelope, (1, 3)),
        site.manager,
        uri,
        inventory=site.inventory,
        token_bytes=secrets.token_bytes,
        now=lambda: datetime.now(UTC),
        reached=reached,
    )


def _row(site: Site) -> KeyRow:
    row = site.inventory.find(site.uri)
    assert row is not None
    return row


def test_a_recovery_that_was_interrupted_before_it_was_recorded_is_recorded_by_the_next(site: Site) -> None:
    envelope = site.envelope(site.provision())
    site.manager.destroy(site.uri)
    with pytest.raises(_CrashError):
        _recover(site, envelope, site.uri, _crash)
    assert _row(site).custody is Custody.ESCROWED

    finished = _recover(site, envelope, site.uri)

    assert (finished.already_there, finished.recorded) == (True, True)
    assert _row(site).custody is Custody.RESTORED
    assert check_identity(_row(site), site.manager).fingerprint == envelope.key.fingerprint
    assert not _recover(site, envelope, site.uri).recorded


def test_a_recovery_to_another_name_that_was_interrupted_is_recorded_by_the_next(site: Site) -> None:
    envelope = site.envelope(site.provision())
    other = replace(site.uri, name="elsewhere")
    with pytest.raises(_CrashError):
        _recover(site, envelope, other, _crash)
    assert "restored_to" not in (_row(site).evidence or {})

    assert _recover(site, envelope, other).recorded
    assert (_row(site).evidence or {})["restored_to"] == str(other)
    assert not _recover(site, envelope, other).recorded


def test_proving_a_key_that_never_left_its_store_records_nothing(site: Site) -> None:
    envelope = site.envelope(site.provision())
    assert not _recover(site, envelope, site.uri).recorded
    assert _row(site).custody is Custody.ESCROWED


@pytest.mark.parametrize("state", [KeyState.COMPROMISED, KeyState.DESTROYED])
@pytest.mark.parametrize("name", ["kek", "elsewhere"])
def test_a_key_that_is_over_does_not_come_back_from_a_copy_of_its_envelope(
    site: Site, state: KeyState, name: str
) -> None:
    row = site.provision()
    envelope = site.envelope(row)
    site.manager.destroy(site.uri)
    site.inventory.transition(row, state, now=datetime.now(UTC))
    with pytest.raises(KeyRefusedError, match=f"is {state}, and such a key does not come back"):
        _recover(site, envelope, replace(site.uri, name=name))
    assert describe_or_none(site.manager, replace(site.uri, name=name)) is None
