"""Running other programs, with their output kept for the error message."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import CommandError

VERSION_TIMEOUT_SECONDS = 30


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run `command` without input and return what it printed.

    Raises:
        CommandError: It could not be started, took too long, or failed; the message ends with its last lines.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except OSError as error:
        raise CommandError(f"{name} could not be started ({error.strerror}).") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{name} gave no result within {timeout_seconds:.0f} s.") from error
    if done.returncode != 0:
        raise CommandError(f"{name} failed with exit code {done.returncode}.", output=done.stdout)
    return done.stdout


def ask_version(command: Sequence[str | Path], *, env: Mapping[str, str]) -> str:
    """Return what `command` says about its version, or an empty text when it can't be run."""
    try:
        return run(command, env=env, timeout_seconds=VERSION_TIMEOUT_SECONDS)
    except CommandError:
        return ""


def find_program(
    name: str, env: Mapping[str, str], *, extra: Sequence[Path] = (), skip: Path | None = None
) -> Path | None:
    """Return the first program called `name` on PATH, then in `extra`; a folder `skip` is passed over."""
    folders = [Path(text) for text in env.get("PATH", os.defpath).split(os.pathsep) if text] + list(extra)
    kept = [str(folder) for folder in folders if skip is None or folder.resolve() != skip.resolve()]
    found = shutil.which(name, path=os.pathsep.join(kept)) if kept else None
    return Path(found) if found else None
