"""Commands that a test runs in a project's folder, as a person would type them."""

import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar


class ProjectCommands(ABC):
    """What every project of the tests can run."""

    command_seconds: ClassVar[int]
    root: Path

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the environment of the project's commands."""

    def run(
        self, *command: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` in the project's folder; with ``check`` a failure shows what it wrote."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.command_seconds,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the real `pulumi`, without questions and colours."""
        return self.run("pulumi", "--non-interactive", "--color", "never", *arguments, check=check)

    def pulumi_json(self, *arguments: str) -> Any:
        """Run `pulumi` and decode what it writes."""
        return json.loads(self.pulumi(*arguments).stdout)

    def keyrung(
        self, *arguments: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the `keyrung` command."""
        return self.run(str(Path(sys.prefix, "bin", "keyrung")), *arguments, check=check, environment=environment)
