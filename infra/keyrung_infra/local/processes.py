"""Start, recognise and stop the server process, so that no foreign process is ever signalled.

A process id alone proves nothing, since ids are reused. A process is ours when its command line names our configuration
file. It is held by a pidfd while it is checked and signalled, so the id can't change hands in between.
"""

import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from keyrung_infra.errors import InfraError

STOP_SECONDS = 10.0
_KILL_SECONDS = 5.0


def start_detached(
    command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own, its output appended to ``log``, so that it outlives this process.

    The caller watches it until it serves, then calls `release`, or `abandon` if it does not.
    """
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise InfraError(
            f"{log} cannot be written ({error.strerror})", fix="make room or correct the folder's permissions"
        ) from error
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    except OSError as error:
        raise InfraError(f"{command[0]} cannot be started ({error.strerror})", fix="run make setup") from error
    finally:
        os.close(descriptor)


def release(process: subprocess.Popen[bytes]) -> None:
    """Let ``process`` run on without the warning that `Popen` gives about a child nobody waited for."""
    process.returncode = 0


def abandon(process: subprocess.Popen[bytes]) -> None:
    """Kill ``process`` if it still runs, and collect its exit status."""
    process.kill()
    process.wait()


def find(argument: str, *, hint: int | None = None) -> int | None:
    """Return the id of the process of this user that has ``argument`` on its command line, or None.

    Looking through all processes also finds a server whose id was never written down.

    Args:
        argument: A whole argument that only the wanted process has.
        hint: The id to look at first.
    """
    if hint is not None and _has_argument(hint, argument):
        return hint
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _has_argument(int(entry.name), argument):
            return int(entry.name)
    return None


def stop(pid: int, argument: str) -> bool:
    """End process ``pid`` if it still has ``argument`` on its command line; ask first, then kill.

    Returns:
        Whether there was such a process.

    Raises:
        InfraError: If the process does not end.
    """
    with _held(pid) as descriptor:
        if descriptor is None or not _has_argument(pid, argument):
            return False
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if _ended(descriptor, seconds):
                _reap(pid)
                return True
    raise InfraError(f"process {pid} does not end", fix="look at what it waits for, then run keyrung dev down again")


def _has_argument(pid: int, argument: str) -> bool:
    """Tell whether a process of this user has ``argument``; one that ended or is hidden has not."""
    folder = Path("/proc") / str(pid)
    try:
        if folder.stat().st_uid != os.getuid():
            return False
        return os.fsencode(argument) in (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


@contextmanager
def _held(pid: int) -> Iterator[int | None]:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # ended
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _ended(descriptor: int, seconds: float) -> bool:
    """A pidfd becomes readable when its process ends."""
    readable, _, _ = select.select([descriptor], [], [], seconds)
    return bool(readable)


def _reap(pid: int) -> None:
    """Collect the exit status where the server is a child of this very process."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
