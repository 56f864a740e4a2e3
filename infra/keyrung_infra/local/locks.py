"""A file lock with a bound on the waiting, so that two runs take turns and a stuck one is named."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keyrung_infra.errors import InfraError

# A cold start takes a few seconds; a minute means that the holder hangs.
LOCK_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.02


@contextmanager
def exclusive(path: Path, *, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold the lock file ``path``. The kernel releases it when the holder dies, so it can't be left behind."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InfraError(
            f"{path} cannot be opened ({error.strerror})", fix="make room or correct the folder's permissions"
        ) from error
    try:
        _acquire(descriptor, path, timeout_seconds)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise InfraError(
                    f"another keyrung command has held {path} for {timeout_seconds:.0f} seconds",
                    fix="wait for it to end or stop it",
                ) from error
            time.sleep(_POLL_SECONDS)
        else:
            return
