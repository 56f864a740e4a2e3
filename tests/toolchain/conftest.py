"""A checkout and a cache of their own for each test of set-up."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from keyrung_toolchain.context import Context
from keyrung_toolchain.places import Places
from keyrung_toolchain.progress import Progress

ROOT = Path(__file__).parents[2]


@pytest.fixture
def said() -> io.StringIO:
    """What set-up told the user."""
    return io.StringIO()


@pytest.fixture
def context(tmp_path: Path, said: io.StringIO) -> Context:
    """Set-up of an empty checkout that shares this repository's toolchain folder."""
    root = tmp_path / "checkout"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "infra").mkdir()
    (root / "infra" / "toolchain").symlink_to(ROOT / "infra" / "toolchain")
    (root / "pyproject.toml").write_text("[project]\n")
    cache = tmp_path / "cache"
    cache.mkdir()
    return Context(
        places=Places(root=root, cache=cache), progress=Progress(stream=said, quiet_seconds=60), env=dict(os.environ)
    )


@pytest.fixture
def program() -> Callable[..., Path]:
    """Write an executable that prints one line."""

    def write(path: Path, output: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{output}'\n")
        path.chmod(0o755)
        return path

    return write
