"""A model of a key's line with crashes at every named point: what must always hold, and that a rerun converges."""

import secrets
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.memory_store import MemoryEscrow, MemoryKeyManager
from support.provisioning import CrashError

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.generations import SKEW_SECONDS, Line, active, bring_up_to_date, retire_line, stage
from keyrung_provisioners.inventory import KeyRow
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

_PUBLISH_SECONDS, _OVERLAP_SECONDS = 600, 3600
# Every point that `Provisioner.reached` names.
_POINTS = (
    *("claimed", "generate", "generated", "escrow", "lock", "locked", "activate", "activated"),
    *("postpone", "deactivate", "destroy", "destroyed"),
)
_MEMORY = Path("/dev/shm")  # noqa: S108 - thousands of commits: what a power cut does to SQLite is not the question here
_LIVING = {KeyState.ACTIVE, KeyState.DEACTIVATED}


class LineOfKeys(RuleBasedStateMachine):
    """`published` is what the state of the deployment holds: only a run that ended well writes it."""

    @initialize(escrowed=st.booleans())
    def begin(self, escrowed: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.inventory = SqliteInventory(self.folder / "inventory.db")
        self.store, self.escrow = MemoryKeyManager(), MemoryEscrow()
        self.escrowed = escrowed
        self.wanted = 1
        self.published: set[int] = set()
        self.crash_at: str | None = None
        self.ended: set[int] = set()
        self.disturbed = False  # a clock set back, or a compromised key, may leave nothing to use for a while

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self._rerun_converges()
            shutil.rmtree(self.folder)

    @rule(point=st.sampled_from(_POINTS))
    def up_that_crashes(self, point: str) -> None:
        if self._refuses(self._rows()):
            return
        self.crash_at = point
        try:
            self._up()
        except CrashError:
            pass
        finally:
            self.crash_at = None

    @rule()
    def up(self) -> None:
        before = self.inventory.line("urn:line")
        if self._refuses(before):
            return
        self._up()
        rows = self.inventory.line("urn:line")
        assert rows[-1].claim.generation == self.wanted
        newest = rows[-1].use_not_before
        known = {row.claim.generation for row in before}
        if self.wanted in known and newest is not None and newest + timedelta(seconds=SKEW_SECONDS) <= self.now:
            assert len([row for row in rows if row.state is KeyState.ACTIVE]) <= 1

    @rule(by=st.sampled_from([-1, 1, 2]))
    def ask_for_another_generation(self, by: int) -> None:
        rows = self.inventory.line("urn:line")
        if not rows:
            return
        asked, self.wanted = self.wanted, self.wanted + by
        events = len(self.inventory.events())
        if by != 1 and rows[-1].state is not KeyState.DESTROYED:
            with pytest.raises(KeyRefusedError):
                self._up()
        elif by == 1:
            try:
                self._up()
                return
            except KeyRefusedError:
                pass
        self.wanted = asked
        assert len(self.inventory.events()) == events  # a refusal changes nothing

    @rule(seconds=st.sampled_from([1, _PUBLISH_SECONDS // 2, _PUBLISH_SECONDS + SKEW_SECONDS, _OVERLAP_SECONDS]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([3600, 86_400]))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.now -= timedelta(seconds=seconds)
        self.disturbed = True

    @precondition(lambda self: self.published)
    @rule(which=st.integers(0, 3))
    def a_generation_is_compromised(self, which: int) -> None:
        rows = [row for row in self.inventory.line("urn:line") if row.state in _LIVING]
        if rows:
            self.inventory.transition(rows[which % len(rows)], KeyState.COMPROMISED, now=self.now)
            self.disturbed = True

    @precondition(lambda self: self.published)
    @rule(point=st.sampled_from([None, "destroy", "destroyed"]))
    def the_whole_line_is_destroyed(self, point: str | None) -> None:
        self.crash_at = point
        try:
            retire_line(self._provisioner(), "urn:line", self.store)
            self.wanted, self.published = self.wanted + 1, set()
        except CrashError:
            pass
        finally:
            self.crash_at = None

    @invariant()
    def what_must_hold_holds(self) -> None:
        rows = self._rows()
        _at_most_two_are_active_and_only_while_one_takes_over(rows)
        if not self.disturbed:
            _one_is_in_use_as_long_as_any_is_active(rows, self.now)
        for row in rows:
            if row.state is KeyState.ACTIVE and self.escrowed and row.fingerprint not in self.store.ended:
                assert row.fingerprint in self.escrow.kept  # none is active without its confirmed escrow
                assert not self.store.describe(row.claim.uri).attributes["leaves"]
            if row.state not in {KeyState.PRE_ACTIVATION, KeyState.ACTIVE}:
                self.ended.add(row.claim.generation)
            else:
                assert row.claim.generation not in self.ended  # none comes back, whatever the clock says
        claimed = {row.claim.uri: row for row in rows if row.state is not KeyState.DESTROYED}
        for uri, found in (self.store.keys if rows else {}).items():  # no key that the inventory does not know
            assert claimed[uri].fingerprint in {None, found.fingerprint}
        for uri, row in claimed.items():  # and none that it knows is lost
            if row.fingerprint is not None and row.fingerprint not in self.store.ended:
                assert uri in self.store.keys

    def _rows(self) -> list[KeyRow]:
        return list(self.inventory.line("urn:line")) if hasattr(self, "inventory") else []

    def _refuses(self, rows: Sequence[KeyRow]) -> bool:
        """Whether the wanted generation was destroyed, or has no key any more since a crash came before its record."""
        newest = rows[-1] if rows else None
        return newest is not None and (newest.state is KeyState.DESTROYED or newest.fingerprint in self.store.ended)

    def _reached(self, point: str) -> None:
        if point == self.crash_at:
            raise CrashError(point)

    def _provisioner(self) -> Provisioner:
        return Provisioner(
            inventory=self.inventory,
            now=lambda: self.now,
            token_bytes=secrets.token_bytes,
            escrow=self.escrow,
            reached=self._reached,
        )

    def _up(self) -> None:
        line = Line(
            owner="urn:line",
            uri=KeyUri("software", "keys", "one"),
            generation=self.wanted,
            algorithm="P-256",
            purpose=Purpose.ASSERTION_SIGNING,
            escrowed=self.escrowed,
            publish_seconds=_PUBLISH_SECONDS,
            overlap_seconds=_OVERLAP_SECONDS,
        )
        rows = bring_up_to_date(self._provisioner(), line, self.store, published=self.published)
        self.published = {row.claim.generation for row in rows}

    def _rerun_converges(self) -> None:
        if self._refuses(self._rows()):
            return
        self.now = max([self.now, *(row.state_since for row in self._rows())])  # the clock is right again
        self._up()
        self.now = max([self.now, *(row.use_not_before or self.now for row in self._rows())])
        self.now += timedelta(seconds=SKEW_SECONDS)
        self._up()
        self.now += timedelta(seconds=_OVERLAP_SECONDS)
        self._up()
        rows = self._rows()
        newest = rows[-1]
        if newest.state is KeyState.ACTIVE:
            assert {row.state for row in rows[:-1]} <= {KeyState.DESTROYED}
            assert list(self.store.keys) == [newest.claim.uri]
            assert list(self.escrow.kept) == ([newest.fingerprint] if self.escrowed else [])
        events = len(self.inventory.events())
        self._up()
        assert len(self.inventory.events()) == events


def _at_most_two_are_active_and_only_while_one_takes_over(rows: Sequence[KeyRow]) -> None:
    living = active([stage(row) for row in rows])
    assert len(living) <= 2
    for older, newer in pairwise(living):
        assert older.generation < newer.generation
        assert newer.use_not_before is not None
        assert newer.use_not_before - newer.state_since >= timedelta(seconds=_PUBLISH_SECONDS)  # published first


def _one_is_in_use_as_long_as_any_is_active(rows: Sequence[KeyRow], now: datetime) -> None:
    times = [row.use_not_before for row in rows if row.state is KeyState.ACTIVE]
    assert not times or any(moment is not None and moment <= now for moment in times)


LineOfKeys.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
test_a_line_of_keys_survives_crashes_at_every_point = LineOfKeys.TestCase
