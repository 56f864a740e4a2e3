"""Only the process that has our argument is found, and only that one is signalled."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrung_infra.local import processes
from keyrung_infra.local.ports import free_ports, is_free

_SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_SLEEP}"


@pytest.fixture
def argument(tmp_path: Path) -> str:
    return f"-config={tmp_path}/config.hcl"


@pytest.fixture
def sleeper(argument: str) -> Iterator[subprocess.Popen[bytes]]:
    yield from _running(_SLEEP, argument)


def _running(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_process_is_found_with_and_without_a_hint(sleeper: subprocess.Popen[bytes], argument: str) -> None:
    assert processes.find(argument) == sleeper.pid
    assert processes.find(argument, hint=sleeper.pid) == sleeper.pid
    assert processes.find(argument, hint=1) == sleeper.pid
    assert processes.find(argument + "x") is None
    assert processes.find(argument[:-1]) is None


def test_asked_process_ends(sleeper: subprocess.Popen[bytes], argument: str) -> None:
    assert processes.stop(sleeper.pid, argument)
    assert processes.find(argument) is None


def test_process_that_does_not_listen_is_killed(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.1)
    for process in _running(_STUBBORN, argument):
        assert processes.stop(process.pid, argument)
        assert processes.find(argument) is None


def test_foreign_process_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    assert not processes.stop(sleeper.pid, "-config=/elsewhere")
    assert sleeper.poll() is None


def test_process_that_is_gone_counts_as_stopped_by_somebody_else(argument: str) -> None:
    for process in _running(_SLEEP, argument):
        process.kill()
        process.wait()
        assert not processes.stop(process.pid, argument)


def test_detached_process_has_a_session_of_its_own_and_a_private_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = processes.start_detached(
        [sys.executable, "-c", f"import os; print(os.getsid(0), os.getcwd(), sorted(os.environ)); {_SLEEP}"],
        folder=tmp_path,
        log=log,
        environment={"ONLY": "this", "PYTHONUNBUFFERED": "1"},
    )
    try:
        deadline = time.monotonic() + 10
        while "ready" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        session, folder, *names = log.read_text().splitlines()[0].split()
        assert (int(session), folder) == (process.pid, str(tmp_path))
        assert " ".join(names) == "['LC_CTYPE', 'ONLY', 'PYTHONUNBUFFERED']"
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert os.getsid(0) != process.pid
    finally:
        processes.abandon(process)
    assert process.returncode == -signal.SIGKILL


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(is_free(port) for port in ports)


def test_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])
