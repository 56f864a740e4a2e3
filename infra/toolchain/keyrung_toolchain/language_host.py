"""Putting our Python language host beside a Pulumi CLI that was built here.

Pulumi looks for language hosts beside its own program, so the program is linked into the virtual environment and the
starter is written next to it; each checkout then runs its own interpreter with one shared program.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from .context import Context
from .files import link_or_copy, write_atomically

STARTER = "pulumi-language-python"
EXEC_SCRIPT = "pulumi-language-python-exec"
LINKED = ("pulumi", EXEC_SCRIPT, "pulumi-resource-pulumi-python")


def install(context: Context, source: Path) -> Path:
    """Link the programs in `source` into the virtual environment, write the starter, and return the folder."""
    target = context.places.bin
    for name in LINKED:
        link_or_copy(source / name, target / name)
    host = context.places.toolchain / "language_host.py"
    command = " ".join(quote(str(path)) for path in (context.places.python, host, target / EXEC_SCRIPT))
    write_atomically(target / STARTER, f'#!/bin/sh\nexec {command} "$@"\n', mode=0o755)
    return target


def remove(context: Context) -> None:
    """Remove what `install` made, because another CLI is used."""
    for name in (*LINKED, STARTER):
        (context.places.bin / name).unlink(missing_ok=True)
