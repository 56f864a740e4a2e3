"""The real bundle in AWS's own emulator of the Lambda runtime, with the runtime's own client for Python."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awslambdaric
import httpx
from support.tools import required_tool

from keyrung_infra.packaging.bundle import Architecture, build_bundle

_START_SECONDS = 30
_CALL_SECONDS = 60
_INVOKE = "/2015-03-31/functions/function/invocations"
# What the runtime has beside our bundle: its client, and what that imports.
_RUNTIME = ("awslambdaric", "runtime_client*", "simplejson", "snapshot_restore_py")


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """A function that waits for events; it starts its process with the first one, as Lambda does."""

    url: str
    log: Path
    client: httpx.Client

    def call(self, event: object) -> Any:
        """Return the function's answer."""
        return self.client.post(self.url, json=event).json()

    def http(self, event: Mapping[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Return status, body and headers of what a function URL would send."""
        answer = self.call(event)
        assert "statusCode" in answer, answer
        return answer["statusCode"], json.loads(answer["body"]), answer["headers"]

    def lines(self) -> list[dict[str, Any]]:
        """Return the function's own lines of the log."""
        found = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in found]


def running_architecture() -> Architecture:
    """Return the architecture of this machine, for a bundle that is to run here."""
    return Architecture.ARM64 if platform.machine() in {"aarch64", "arm64"} else Architecture.X86_64


def unpack_bundle(folder: Path) -> Path:
    """Build the bundle for the interpreter that runs this, and return the folder that Lambda would call its task."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    made = build_bundle(architecture=running_architecture(), out=folder / "verifier.zip", python_version=version)
    zipfile.ZipFile(made.path).extractall(folder / "task")
    made.path.unlink()
    return folder / "task"


@contextmanager
def emulated(
    folder: Path, task: Path, handler: str, *, environment: Mapping[str, str], timeout_seconds: int = 15
) -> Iterator[Emulator]:
    """Run the function `handler` of the code in `task`; nothing of this interpreter's packages is in its reach."""
    program = required_tool(lambda tools: tools.lambda_emulator)
    port, inner_port = _free_ports()
    runtime = _runtime(folder)
    log = folder / f"lambda-{port}.log"
    command = [program, "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{inner_port}"]
    # -S: without the virtual environment's packages, which hold the same modules again.
    command += [sys.executable, "-S", "-m", "awslambdaric", handler]
    settings = {
        "PATH": os.defpath,
        "PYTHONPATH": f"{task}:{runtime}",
        "PYTHONDONTWRITEBYTECODE": "1",  # a function's folder cannot be written
        "LAMBDA_TASK_ROOT": str(task),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_seconds),
        "AWS_LAMBDA_FUNCTION_NAME": "verifier",
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=task,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(port, process, log)
        with httpx.Client(timeout=_CALL_SECONDS) as client:
            yield Emulator(url=f"http://127.0.0.1:{port}{_INVOKE}", log=log, client=client)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with the function's own process
        process.wait()


def _runtime(folder: Path) -> Path:
    made = folder / "runtime"
    if not made.exists():
        made.mkdir()
        packages = Path(awslambdaric.__file__).parents[1]
        for pattern in _RUNTIME:
            for path in packages.glob(pattern):
                (made / path.name).symlink_to(path)
    return made


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the emulator did not start: {log.read_text()}")
