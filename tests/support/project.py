"""A whole project in a temp folder: the committed program and catalogue, its own local stack, the real `pulumi`."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from support.commands import ProjectCommands

from keyrung_infra.local.stack import Stack, stop_stack
from keyrung_infra.tools import Tools

REPOSITORY = Path(__file__).resolve().parents[2]
STACK_NAME = "local"
# What `pulumi up` reads of the repository. The packages come from the environment that runs the tests.
_PROGRAM = ("Pulumi.yaml", "infra/__main__.py", "infra/stacks", "infra/plugin", "policies/catalog")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project(ProjectCommands):
    """A copy of the project whose local stack is up."""

    command_seconds: ClassVar[int] = 600

    root: Path
    stack: Stack

    @property
    def state(self) -> Path:
        """The folder `.keyrung`."""
        return self.stack.layout.state

    def environment(self) -> dict[str, str]:
        """Return the environment that `keyrung dev env` prints, over this process's own."""
        return self.stack.environment()


def copy_program(root: Path) -> None:
    """Copy what `pulumi up` reads to ``root``."""
    for name in _PROGRAM:
        source, target = REPOSITORY / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
    (root / ".venv").symlink_to(sys.prefix, target_is_directory=True)


@contextmanager
def running_project(root: Path, tools: Tools) -> Iterator[Project]:
    """Make a copy of the project in the empty folder ``root``, its local stack up, and stop it at the end."""
    copy_program(root)
    stack = Stack(root, tools=tools)
    try:
        stack.up()
        yield Project(root=stack.layout.root, stack=stack)
    finally:
        stop_stack(root)
