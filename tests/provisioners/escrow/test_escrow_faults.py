"""Crashes between generate, escrow, lock and activate: a key is never active without its escrow, nothing doubles."""

import os
import secrets
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.escrow import Site, custodians

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Custody
from keyrung_provisioners.checks import check_identity
from keyrung_provisioners.errors import EnvelopeRefusedError, KeyRefusedError
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.states import KeyState

_POINTS = ("claimed", "generate", "generated", "escrow", "lock", "locked", "activate")


@pytest.fixture(params=["P-256", "AES-256"])
def site(request: pytest.FixtureRequest, site: Site) -> Site:
    return replace(site, algorithm=request.param)


class _CrashError(Exception):
    """The process ends here."""


def _crash_at(wanted: str) -> object:
    def reached(point: str) -> None:
        if point == wanted:
            raise _CrashError

    return reached


@pytest.mark.parametrize("point", _POINTS)
def test_a_crash_leaves_pre_activation_and_the_next_run_finishes_with_one_key_and_one_escrow(
    site: Site, point: str
) -> None:
    with pytest.raises(_CrashError):
        site.provisioner(_crash_at(point)).provision(site.claim, site.manager)  # type: ignore[arg-type]
    (left,) = site.inventory.rows()
    sealed_before = sorted(path.read_bytes() for path in site.envelopes.folder.glob("*"))

    row = site.provision()

    assert left.state is KeyState.PRE_ACTIVATION
    assert (row.state, row.custody) == (KeyState.ACTIVE, Custody.ESCROWED)
    kept = [path.read_bytes() for path in site.envelopes.folder.glob("*")]
    assert len(kept) == 1
    assert sealed_before in ([], kept)
    assert site.envelope(row).key.fingerprint == row.fingerprint
    check_identity(row, site.manager)
    assert site.provision() == row


_VICTIM = """
import os, signal, sys
from pathlib import Path
from support.escrow import Custodians, Site, open_token
from support.softhsm import SoftHsmToken
from keyrung_infra.local.layout import SoftHsmLayout
from keyrung_provisioners.escrow.recipients import read_opener

folder, label, module, wanted, algorithm = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]
token = SoftHsmToken(layout=SoftHsmLayout(folder=folder / "softhsm"), module=module, label=label)
keys = tuple(read_opener(path.read_bytes(), passphrase=str) for path in sorted(folder.glob("custodian-*")))
custodians = Custodians(keys=keys, threshold=2)
site = Site(folder=folder, token=token, custodians=custodians, manager=open_token(token), algorithm=algorithm)

def reached(point):
    if point == wanted:
        os.kill(os.getpid(), signal.SIGKILL)

site.provisioner(reached).provision(site.claim, site.manager)
"""


@pytest.mark.parametrize("point", ["generated", "lock", "locked", "activate"])
def test_kill_9_at_a_fault_point_converges(site: Site, point: str) -> None:
    for number, key in enumerate(site.custodians.keys):
        path = site.folder / f"custodian-{number}"
        path.write_bytes(key.to_file(passphrase=None, token_bytes=secrets.token_bytes))
    tests = str(Path(__file__).parents[2])
    told = (str(site.folder), site.token.label, str(site.token.module), point, site.algorithm)
    done = subprocess.run(
        [sys.executable, "-c", _VICTIM, *told],
        env={**os.environ, "PYTHONPATH": tests, "SOFTHSM2_CONF": str(site.token.config)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [row.state for row in site.inventory.rows()] == [KeyState.PRE_ACTIVATION]

    row = site.provision()

    assert row.state is KeyState.ACTIVE
    assert len(list(site.envelopes.folder.glob("*.json"))) == 1
    assert site.envelope(row).key.fingerprint == row.fingerprint


def test_without_custodians_an_escrowed_key_stays_in_pre_activation(site: Site) -> None:
    complete = site.provisioner()
    bare = Provisioner(inventory=complete.inventory, now=complete.now, token_bytes=complete.token_bytes)

    with pytest.raises(KeyRefusedError, match="stays in pre-activation"):
        bare.provision(site.claim, site.manager)
    assert [row.state for row in site.inventory.rows()] == [KeyState.PRE_ACTIVATION]


def test_the_inventory_itself_refuses_to_activate_a_key_before_its_escrow(site: Site) -> None:
    with pytest.raises(_CrashError):
        site.provisioner(_crash_at("escrow")).provision(site.claim, site.manager)  # type: ignore[arg-type]
    (row,) = site.inventory.rows()

    with pytest.raises(KeyRefusedError, match="no confirmed escrow"):
        site.inventory.transition(row, KeyState.ACTIVE, now=row.claimed_at)


def test_an_interrupted_escrow_is_not_finished_for_other_custodians(site: Site) -> None:
    with pytest.raises(_CrashError):
        site.provisioner(_crash_at("lock")).provision(site.claim, site.manager)  # type: ignore[arg-type]

    with pytest.raises(EnvelopeRefusedError, match="other custodians"):
        site.with_custodians(custodians()).provision()
    assert [row.state for row in site.inventory.rows()] == [KeyState.PRE_ACTIVATION]


def test_a_locked_key_whose_envelope_was_lost_is_never_activated(site: Site) -> None:
    with pytest.raises(_CrashError):
        site.provisioner(_crash_at("locked")).provision(site.claim, site.manager)  # type: ignore[arg-type]
    for path in site.envelopes.folder.glob("*"):
        path.unlink()

    with pytest.raises(KeyRefusedError, match="does not let"):
        site.provision()
    assert [row.state for row in site.inventory.rows()] == [KeyState.PRE_ACTIVATION]


def test_destroying_an_escrowed_key_takes_its_envelope_along(site: Site) -> None:
    row = site.provision()
    complete = site.provisioner()
    bare = Provisioner(inventory=complete.inventory, now=complete.now, token_bytes=complete.token_bytes)
    with pytest.raises(KeyRefusedError, match="takes its escrow along"):
        bare.retire(row.claim.owner, 1, site.manager)

    complete.retire(row.claim.owner, 1, site.manager)

    assert list(site.envelopes.folder.glob("*")) == []
    assert [each.state for each in site.inventory.rows()] == [KeyState.DESTROYED]


def test_an_inventory_made_before_escrow_existed_gains_its_column(tmp_path: Path) -> None:
    import sqlite3  # noqa: PLC0415

    path = tmp_path / "inventory.db"
    SqliteInventory(path).rows()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE keys DROP COLUMN custody")
    connection.close()

    assert SqliteInventory(path).rows() == []
    assert SqliteInventory(path).rows() == []
