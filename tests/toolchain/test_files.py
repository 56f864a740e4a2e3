from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from keyrung_toolchain.context import Context
from keyrung_toolchain.files import link_or_copy, locked, new_folder, write_atomically

HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from keyrung_toolchain.files import locked
from keyrung_toolchain.progress import Progress

with locked(Path(sys.argv[1]), Progress(stream=sys.stderr), "Waiting"):
    print("in", flush=True)
    time.sleep(0.5)
    print("out", flush=True)
"""


def test_a_failed_fill_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "tool"
    target.mkdir()
    (target / "old").touch()

    def fill() -> None:
        with new_folder(target) as folder:
            (folder / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fill()

    assert [path.name for path in tmp_path.rglob("*")] == ["tool", "old"]


def test_what_a_killed_run_left_behind_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "tool"
    left_over = tmp_path / ".new-tool-abc"
    left_over.mkdir()
    (left_over / "half").touch()

    with new_folder(target) as folder:
        (folder / "whole").touch()

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["tool", "whole"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")

    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file", "old")]


def test_a_link_replaces_what_was_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("old")

    link_or_copy(source, target)

    assert target.read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"source", "target"}


def test_two_set_ups_wait_for_each_other(tmp_path: Path, context: Context) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(context.places.toolchain)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with locked(tmp_path, context.progress, "Waiting"):
            assert other.stdout.readline() == "out\n"


def test_a_killed_set_up_blocks_nobody(tmp_path: Path, context: Context) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(context.places.toolchain)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        other.kill()
        with locked(tmp_path, context.progress, "Waiting"):
            assert other.stdout.readline() == ""
