"""Child processes of the language host: each in a session of its own, stopped by SIGTERM.

The engine ends a plugin with SIGINT to its whole process group. A Python program in that group would answer with a
traceback, so programs get a session of their own and are stopped from here, quietly.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from typing import IO

CHUNK_BYTES = 65536


class Children:
    """The processes started for one purpose, and whether they are being stopped."""

    def __init__(self) -> None:
        self.stopping = False
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def start(
        self, command: list[str], *, cwd: str, env: Mapping[str, str], captured: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start `command`; its output goes where ours goes, or into pipes when `captured`."""
        stream = subprocess.PIPE if captured else None
        child = subprocess.Popen(
            command,
            cwd=cwd or None,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        with self._lock:
            self._running.add(child)
        return child

    def wait(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for `child` and return its exit code."""
        code = child.wait()
        with self._lock:
            self._running.discard(child)
        return code

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """Ask `child` and what it started to end."""
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)

    def stop_all(self) -> None:
        """Ask all children to end, and remember that their exit codes are of our making."""
        self.stopping = True
        with self._lock:
            running = list(self._running)
        for child in running:
            self.stop(child)


def pump(child: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield ("stdout" | "stderr", bytes) as they come, until both streams have ended."""
    chunks: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def read(name: str, stream: IO[bytes]) -> None:
        while data := os.read(stream.fileno(), CHUNK_BYTES):
            chunks.put((name, data))
        chunks.put((name, b""))

    streams = [(name, stream) for name, stream in (("stdout", child.stdout), ("stderr", child.stderr)) if stream]
    for name, stream in streams:
        threading.Thread(target=read, args=(name, stream), daemon=True).start()
    open_streams = len(streams)
    while open_streams:
        name, data = chunks.get()
        if data:
            yield name, data
        else:
            open_streams -= 1
