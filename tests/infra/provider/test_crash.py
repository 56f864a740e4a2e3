"""`kill -9` at every named point: the next run gives the same single key, and an orphaned provider ends by itself."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.deployment import (
    MORTAL_PLUGIN,
    declare_one_key,
    inventory,
    resources,
    set_plugin,
    states,
    token_objects,
    transit_keys,
)
from support.project import Project
from support.secrets import files, leaks, secrets_of

from keyrung_provisioners.inventory import KeyRow

_VAULTS = {"pkcs11": "pkcs11:token=keyrung", "transit": "transit:mount=keyrung"}
_POINTS = ("claimed", "generate", "generated", "activate")

# Says that it came to the point of `wait-at`, and waits there until `go-on` exists.
_WAITING_PLUGIN = """
import os, time
from keyrung_infra.project import find_root
from keyrung_infra.provider.server import main

def reached(point):
    order = (find_root() / "wait-at")
    if order.exists() and order.read_text() == point:
        (find_root() / "waiting").write_text(str(os.getpid()))
        while not (find_root() / "go-on").exists():
            time.sleep(0.02)

main(reached)
"""


def _keys_in_store(project: Project, scheme: str) -> int:
    if scheme == "transit":
        return len(transit_keys(project))
    found = token_objects(project)
    assert len(found) in (0, 2)
    return len(found) // 2


def _row(project: Project) -> KeyRow:
    (row,) = inventory(project).rows()
    return row


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("scheme", _VAULTS)
def test_a_provider_killed_at_any_point_leads_to_the_same_single_key(pulumi_project: Project, scheme: str) -> None:
    project = pulumi_project
    declare_one_key(project, _VAULTS[scheme])
    set_plugin(project, MORTAL_PLUGIN)
    recorded = None
    for point in _POINTS:  # each run goes one step further than the one before
        (project.root / "die-at").write_text(point)
        done = project.pulumi("up", "--yes", "--skip-preview", check=False)
        assert done.returncode != 0
        assert not (project.root / "die-at").exists(), done.stdout + done.stderr
        assert _row(project).state == "pre-activation"
        assert _keys_in_store(project, scheme) == (point in ("generated", "activate"))
        recorded = _row(project).fingerprint
        assert (recorded is not None) == (point == "activate")
    project.pulumi("up", "--yes", "--skip-preview")
    made = resources(project)["key"]["outputs"]
    assert (made["thumbprint"], made["state"]) == (recorded, "active")
    assert _keys_in_store(project, scheme) == 1
    events = [event.event for _, event in inventory(project).events()]
    assert events == ["key.claimed", "key.adopted", "key.activated"]

    (project.root / "die-at").write_text("destroy")
    done = project.pulumi("destroy", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert _row(project).state == "active"
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert list(states(project).values()) == ["destroyed"]
    assert _keys_in_store(project, scheme) == 0
    assert resources(project) == {}
    assert leaks(secrets_of(project.stack.layout), files(project.stack.layout.pulumi_state)) == []


def _waiting_up(project: Project, point: str) -> tuple["subprocess.Popen[bytes]", int]:
    """Start an `up` that waits at ``point``; return it and the provider's process id."""
    (project.root / "wait-at").write_text(point)
    running = subprocess.Popen(
        ["pulumi", "up", "--non-interactive", "--yes", "--skip-preview"],
        cwd=project.root,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    waiting = project.root / "waiting"
    _wait_for(lambda: waiting.is_file() and waiting.read_text() != "")
    return running, int(waiting.read_text())


def _ended(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.mark.parametrize(("scheme", "point"), [("pkcs11", "generate"), ("transit", "generated")])
def test_after_a_killed_engine_the_orphan_ends_and_cancel_and_up_give_one_key(
    pulumi_project: Project, scheme: str, point: str
) -> None:
    project = pulumi_project
    declare_one_key(project, _VAULTS[scheme])
    set_plugin(project, _WAITING_PLUGIN)
    running, provider = _waiting_up(project, point)
    running.kill()
    running.wait()
    (project.root / "go-on").touch()  # the orphan would now go on to its next step
    _wait_for(lambda: _ended(provider), seconds=15)
    assert _keys_in_store(project, scheme) == (point == "generated")
    assert _row(project).fingerprint is None

    done = project.pulumi("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert "pulumi cancel" in done.stdout + done.stderr
    project.pulumi("cancel", "--yes")
    project.pulumi("up", "--yes", "--skip-preview")
    assert resources(project)["key"]["outputs"]["thumbprint"] == _row(project).fingerprint
    assert list(states(project).values()) == ["active"]
    assert _keys_in_store(project, scheme) == 1
    project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_an_orphan_that_hangs_in_a_step_is_ended_as_well(pulumi_project: Project) -> None:
    project = pulumi_project
    declare_one_key(project, _VAULTS["pkcs11"])
    set_plugin(project, _WAITING_PLUGIN)
    running, provider = _waiting_up(project, "generate")
    running.kill()
    running.wait()
    try:
        _wait_for(lambda: _ended(provider), seconds=20)
    finally:
        with suppress(ProcessLookupError):
            os.kill(provider, signal.SIGKILL)
    assert token_objects(project) == []


def test_of_two_runs_at_once_one_is_refused_and_one_key_is_made(pulumi_project: Project) -> None:
    project = pulumi_project
    declare_one_key(project, _VAULTS["pkcs11"])
    set_plugin(project, _WAITING_PLUGIN)
    running, _ = _waiting_up(project, "generate")
    done = project.pulumi("up", "--yes", "--skip-preview", check=False)
    (project.root / "go-on").touch()
    assert running.wait(timeout=60) == 0
    assert done.returncode != 0
    assert "the stack is currently locked" in done.stdout + done.stderr
    assert list(states(project).values()) == ["active"]
    assert _keys_in_store(project, "pkcs11") == 1
