"""Runs the programs of the story: `pulumi`, `keyrung` and the two servers, each as a process of its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyrung_infra.errors import InfraError

_COMMAND_SECONDS = 300
_STOP_SECONDS = 10
_MAX_ERROR_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Programs in the project's folder, with the environment of the local stack."""

    root: Path
    environment: Mapping[str, str]

    def keyrung(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
        """Run `keyrung ARGUMENTS --json` and return what it says."""
        done = self._run([*_python("keyrung_infra.cli"), *arguments, "--json"], environment)
        return json.loads(done)

    def pulumi(self, *arguments: str) -> str:
        """Run the real `pulumi` without questions and return what it writes."""
        return self._run(["pulumi", "--non-interactive", "--color", "never", *arguments])

    def pulumi_up(self) -> dict[str, list[str]]:
        """Run `pulumi up` and return the resources by what was done to them: {"create": [...], "same": [...]}."""
        done: dict[str, list[str]] = {}
        for line in self.pulumi("up", "--yes", "--skip-preview", "--json").splitlines():
            event = json.loads(line).get("resOutputsEvent")
            if event is not None and event["metadata"]["type"] != "pulumi:pulumi:Stack":
                metadata = event["metadata"]
                name = f"{metadata['type'].rpartition(':')[2]} {metadata['urn'].rpartition('::')[2]}"
                done.setdefault(metadata["op"], []).append(name)
        return done

    @contextmanager
    def server(self, *arguments: str, ready_on: str) -> Iterator[str]:
        """Run a server; yield the line on ``ready_on`` (stdout or stderr) with which it says that it is ready."""
        process = subprocess.Popen(
            _python(*arguments),
            cwd=self.root,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if ready_on == "stdout" else subprocess.DEVNULL,
            stderr=subprocess.PIPE if ready_on == "stderr" else None,
            text=True,
        )
        stream = process.stdout if ready_on == "stdout" else process.stderr
        try:
            line = stream.readline().strip() if stream else ""
            if process.poll() is not None or "https://" not in line:
                raise InfraError(f"a server did not start ({line or 'it said nothing'})", fix="see its message")
            yield line
        finally:
            _stop(process)

    def _run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise InfraError(f"{_short(command)} failed:\n{_reason(done)}\n", fix="run it by hand to see all it says")
        return done.stdout


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def _short(command: Sequence[str]) -> str:
    return " ".join("keyrung" if part == "keyrung_infra.cli" else part for part in command if part not in _python())


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a failed program said: the errors among a JSON stream, else its last lines."""
    said = []
    for line in done.stdout.splitlines():
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and "error" in document:
            said.append(str(document["error"]["message"]))
        elif isinstance(document, dict) and document.get("diagnosticEvent", {}).get("severity") == "error":
            said.append(document["diagnosticEvent"]["message"].strip())
    said += done.stderr.strip().splitlines()
    return "\n".join(said[-_MAX_ERROR_LINES:])


def _stop(process: subprocess.Popen[str]) -> None:
    """End a server in order; one that does not end in time is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
