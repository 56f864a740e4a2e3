"""Backup and restore of a working verifier, rehearsed: nothing is lost unnoticed, and nothing goes back silently."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.project import Project
from support.serving import application, question, serving

pytestmark = pytest.mark.xdist_group("e2e")

_NAMES = {"checkpoints.jsonl", "policy-bundle.json", "store.db", "inventory.db"}


@pytest.fixture
def backup(demo: Project, tmp_path: Path) -> Iterator[Path]:
    """A backup made while the verifier answers; the demo's own files are put back at the end."""
    kept = tmp_path / "kept"
    shutil.copytree(demo.state / "verifier", kept)
    folder = tmp_path / "backup"
    with serving(demo):
        done = threading.Event()
        asking = threading.Thread(target=_ask_until, args=(demo, done))
        asking.start()
        try:
            demo.keyrung("backup", str(folder))
        finally:
            done.set()
            asking.join()
    demo.keyrung("credential", "add", "totp", "who-came-later", "--json")  # signed, and not in the backup
    yield folder
    shutil.rmtree(demo.state / "verifier")
    shutil.copytree(kept, demo.state / "verifier")


def _ask_until(project: Project, done: threading.Event) -> None:
    with application(project) as http:
        while not done.is_set():
            _ask(http)


def _ask(http: httpx.Client) -> None:
    """Have the verifier decide, and record, something."""
    assert http.post("/access/v1/evaluation", json=question("alice")).status_code == httpx.codes.OK


def _verified(project: Project, *options: str) -> tuple[int, str]:
    done = project.keyrung("audit", "verify", "--json", *options, check=False)
    return done.returncode, done.stdout


def _start(project: Project) -> tuple[int | None, str]:
    """Start a verifier that is expected to refuse, and return how it ended."""
    done = subprocess.run(
        [sys.executable, "-m", "keyrung_infra.cli", "serve"],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_a_backup_of_a_working_verifier_is_whole_private_and_never_written_over(demo: Project, backup: Path) -> None:
    assert {path.name for path in backup.iterdir()} == _NAMES
    assert {path.stat().st_mode & 0o077 for path in (backup, *backup.iterdir())} == {0}
    code, told = _verified(demo, "--log", str(backup / "store.db"), "--checkpoints", str(backup / "checkpoints.jsonl"))
    assert (code, json.loads(told)["ok"]) == (0, True)
    again = demo.keyrung("backup", str(backup), check=False)
    assert again.returncode != 0
    assert "is not empty" in again.stderr


def test_an_older_store_does_not_come_back_silently_and_the_newest_one_does(demo: Project, backup: Path) -> None:
    store = demo.state / "verifier" / "store.db"
    newest = backup.parent / "newest.db"
    shutil.copyfile(store, newest)
    _put_back(backup / "store.db", store)  # what happened since is missing, and the checkpoints say so
    code, told = _verified(demo)
    assert code == 1
    assert {found["code"] for found in json.loads(told)["findings"]} == {"truncated"}
    refused, why = _start(demo)
    assert refused not in {None, 0}
    assert "the one that was signed last, or the store is an older one" in " ".join(why.split())
    _put_back(newest, store)
    assert _verified(demo)[0] == 0
    with serving(demo), application(demo) as http:
        _ask(http)


def test_a_loss_that_is_accepted_by_moving_the_checkpoints_away_lets_the_verifier_work_again(
    demo: Project, backup: Path
) -> None:
    folder = demo.state / "verifier"
    _put_back(backup / "store.db", folder / "store.db")
    (folder / "checkpoints.jsonl").rename(backup.parent / "checkpoints-before.jsonl")
    with serving(demo), application(demo) as http:
        _ask(http)
    assert _verified(demo)[0] == 0
    code, _ = _verified(demo, "--checkpoints", str(backup.parent / "checkpoints-before.jsonl"))
    assert code == 1  # what was kept still tells of the loss


def test_after_a_total_loss_store_and_checkpoints_come_back_together(demo: Project, backup: Path) -> None:
    folder = demo.state / "verifier"
    for name in ("store.db", "checkpoints.jsonl"):
        (folder / name).unlink()
        _put_back(backup / name, folder / name)
    with serving(demo), application(demo) as http:
        _ask(http)
    assert _verified(demo)[0] == 0


def _put_back(source: Path, target: Path) -> None:
    for beside in ("-wal", "-shm"):
        target.with_name(target.name + beside).unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o600)
