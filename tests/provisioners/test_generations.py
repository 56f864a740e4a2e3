"""A line of generations over a real token: a process killed at any point leaves what the next one finishes."""

import json
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.raw_keys import raw_session
from support.softhsm import SoftHsmToken
from support.stores import token_manager, verifies

from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.generations import SKEW_SECONDS, Line, bring_up_to_date, retire_line
from keyrung_provisioners.inventory import KeyRow
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.uri import KeyUri

_START = datetime(2026, 1, 1, tzinfo=UTC)
_PUBLISH_SECONDS, _OVERLAP_SECONDS, _SECONDS = 600, 3600, 60
# Brings the line up to date, and kills itself at the named point.
_CHILD = """
import json, os, secrets, signal, sys
from datetime import datetime
from pathlib import Path
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.generations import Line, bring_up_to_date, retire_line
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

order = json.loads(sys.argv[1])
uri = KeyUri.parse(order["uri"])

def reached(point):
    if point == order["die_at"]:
        os.kill(os.getpid(), signal.SIGKILL)

provisioner = Provisioner(
    inventory=SqliteInventory(Path(order["inventory"])), now=lambda: datetime.fromisoformat(order["now"]),
    token_bytes=secrets.token_bytes, reached=reached,
)
manager = open_manager(uri.scheme, order["settings"], root=Path("/"))
if order["generation"] is None:
    retire_line(provisioner, "urn:line", manager)
else:
    line = Line(owner="urn:line", uri=uri, generation=order["generation"], algorithm="P-256",
                purpose=Purpose.ASSERTION_SIGNING, publish_seconds=600, overlap_seconds=3600)
    bring_up_to_date(provisioner, line, manager, published=order["published"])
"""


@dataclass(kw_only=True)
class TokenLine:
    """A declared key in a token; `published` is what a deployment's state lists."""

    token: SoftHsmToken
    folder: Path
    now: datetime = _START
    published: list[int] = field(default_factory=list)

    @property
    def uri(self) -> KeyUri:
        return KeyUri("pkcs11", self.token.label, "signing")

    @property
    def inventory(self) -> SqliteInventory:
        return SqliteInventory(self.folder / "inventory.db")

    def provisioner(self) -> Provisioner:
        return Provisioner(inventory=self.inventory, now=lambda: self.now, token_bytes=secrets.token_bytes)

    def up(self, generation: int) -> list[KeyRow]:
        line = Line(
            owner="urn:line",
            uri=self.uri,
            generation=generation,
            algorithm="P-256",
            purpose=Purpose.ASSERTION_SIGNING,
            publish_seconds=_PUBLISH_SECONDS,
            overlap_seconds=_OVERLAP_SECONDS,
        )
        manager = token_manager(self.token)
        rows = list(bring_up_to_date(self.provisioner(), line, manager, published=self.published))
        self.published = [row.claim.generation for row in rows]
        return rows

    def killed_at(self, point: str, generation: int | None) -> None:
        """Do the same, or destroy the line, in a process that kills itself at ``point``."""
        order = {
            "uri": str(self.uri),
            "inventory": str(self.folder / "inventory.db"),
            "settings": self.token.settings(),
            "now": self.now.isoformat(),
            "generation": generation,
            "published": self.published,
            "die_at": point,
        }
        command = [sys.executable, "-c", _CHILD, json.dumps(order)]
        assert subprocess.run(command, timeout=_SECONDS, check=False).returncode == -signal.SIGKILL

    def labels(self) -> list[str]:
        """Return the label of every object in the token, read without our code."""
        with raw_session(self.token) as session:
            return sorted(str(found.label) for found in session.get_objects())

    def states(self) -> list[str]:
        return [row.state.value for row in self.inventory.line("urn:line")]


@pytest.fixture
def line(softhsm_token: SoftHsmToken, tmp_path: Path) -> TokenLine:
    return TokenLine(token=softhsm_token, folder=tmp_path)


def test_a_rotation_publishes_uses_deactivates_and_destroys_in_that_order(line: TokenLine) -> None:
    (first,) = line.up(1)
    old, new = line.up(2)
    assert old == first
    assert (old.use_not_before, new.use_not_before) == (_START, _START + timedelta(seconds=_PUBLISH_SECONDS))
    assert str(new.claim.uri) == f"{line.uri}-g2"
    manager = token_manager(line.token)
    for row in (old, new):
        assert verifies(row.public_key_pem, b"data", manager.sign(row.claim.uri, b"data"))

    line.now += timedelta(seconds=_PUBLISH_SECONDS + SKEW_SECONDS - 1)
    line.up(2)
    assert line.states() == ["active", "active"]
    line.now += timedelta(seconds=1)
    line.up(2)
    assert line.states() == ["deactivated", "active"]
    line.now += timedelta(seconds=_OVERLAP_SECONDS - 1)
    line.up(2)
    assert line.states() == ["deactivated", "active"]
    line.now += timedelta(seconds=1)
    line.up(2)
    assert line.states() == ["destroyed", "active"]
    assert line.labels() == ["signing-g2", "signing-g2"]
    assert [str(row.claim.uri) for row in line.up(3)] == [str(line.uri), f"{line.uri}-g2", f"{line.uri}-g3"]


@pytest.mark.parametrize("point", ["claimed", "generate", "generated", "activate", "activated"])
def test_a_process_killed_while_it_makes_the_next_generation_is_finished_by_the_next(
    line: TokenLine, point: str
) -> None:
    (first,) = line.up(1)
    line.killed_at(point, 2)
    assert line.inventory.line("urn:line")[0] == first
    line.now += timedelta(days=1)  # long after the time at which the killed run would have had it used
    _, new = line.up(2)
    assert line.states() == ["active", "active"]
    assert new.use_not_before == line.now + timedelta(seconds=_PUBLISH_SECONDS)  # nobody could know it before
    assert line.labels() == ["signing"] * 2 + ["signing-g2"] * 2


def test_a_process_killed_before_it_postpones_the_use_of_an_unpublished_key_is_finished(line: TokenLine) -> None:
    line.up(1)
    line.killed_at("activated", 2)
    line.now += timedelta(days=1)
    line.killed_at("postpone", 2)
    _, new = line.up(2)
    assert new.use_not_before == line.now + timedelta(seconds=_PUBLISH_SECONDS)
    assert line.states() == ["active", "active"]


@pytest.mark.parametrize(("point", "later_seconds"), [("deactivate", 0), ("destroy", 1), ("destroyed", 1)])
def test_a_process_killed_while_it_ends_a_generation_is_finished_by_the_next(
    line: TokenLine, point: str, later_seconds: int
) -> None:
    line.up(1)
    line.up(2)
    line.now += timedelta(seconds=_PUBLISH_SECONDS + SKEW_SECONDS)
    if later_seconds:
        line.up(2)
        line.now += timedelta(seconds=_OVERLAP_SECONDS)
    before = line.states()
    line.killed_at(point, 2)
    assert line.states() == before
    line.up(2)
    assert line.states() == ["destroyed" if later_seconds else "deactivated", "active"]
    assert ("signing" in line.labels()) == (not later_seconds)
    events = len(line.inventory.events())
    line.up(2)
    assert len(line.inventory.events()) == events


@pytest.mark.parametrize("point", ["destroy", "destroyed"])
def test_a_process_killed_while_it_destroys_the_line_is_finished_by_the_next(line: TokenLine, point: str) -> None:
    line.up(1)
    line.up(2)
    line.killed_at(point, None)
    retire_line(line.provisioner(), "urn:line", token_manager(line.token))
    assert line.states() == ["destroyed", "destroyed"]
    assert line.labels() == []
    assert [str(row.claim.uri) for row in line.up(3)][-1] == str(line.uri)  # a line that was empty begins anew


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=1)])
def test_a_clock_that_is_set_back_ends_nothing_early_and_brings_nothing_back(line: TokenLine, back: timedelta) -> None:
    line.up(1)
    line.up(2)
    line.now += timedelta(seconds=_PUBLISH_SECONDS + SKEW_SECONDS)
    line.up(2)
    line.now -= back
    for _ in range(2):
        line.up(2)
        assert line.states() == ["deactivated", "active"]
