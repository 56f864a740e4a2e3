"""The record of a finished set-up: where every tool is, and whether anything has changed since."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .context import Context, Tool
from .files import write_atomically
from .places import Places


def save(context: Context, tools: Iterable[Tool]) -> None:
    """Write the record; `keyrung_infra.tools` reads its member `tools`."""
    entries = {
        tool.name: {
            "path": str(tool.path),
            "version": tool.version,
            "origin": tool.origin,
            "signature": _signature(tool.path),
        }
        for tool in tools
    }
    text = json.dumps({"fingerprint": fingerprint(context.places), "tools": entries}, indent=2)
    write_atomically(context.places.record, text + "\n")


def forget(context: Context) -> None:
    """Remove the record, so that an interrupted set-up is not taken for a finished one."""
    context.places.record.unlink(missing_ok=True)


def current(context: Context, names: Iterable[str]) -> bool:
    """Whether the record is of these locks and this interpreter, holds all of `names`, and no file changed since."""
    try:
        record: Any = json.loads(context.places.record.read_bytes())
        entries = record["tools"]
        return (
            record["fingerprint"] == fingerprint(context.places)
            and all(path.exists() for path in (context.places.python, context.places.bin / "keyrung"))
            and set(names) <= set(entries)
            and all(_signature(Path(entry["path"])) == entry["signature"] for entry in entries.values())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fingerprint(places: Places) -> str:
    """A digest of everything that decides what set-up makes."""
    digest = hashlib.sha256(f"{sys.version}\0{places.root}\0{places.cache}\0".encode())
    sources = [places.root / "pyproject.toml", *sorted(path for path in places.toolchain.rglob("*") if path.is_file())]
    for path in sources:
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(places.root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _signature(path: Path) -> list[int]:
    """Size and time of a file: cheap, and it changes with every way a file is usually replaced or damaged."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
