"""The engine that started this provider: while it lives, the provider works; when it is gone, the provider ends.

A killed engine leaves its providers running. One that went on could make a key nobody waits for.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from keyrung_infra.errors import InfraError

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 10.0  # an operation under way gets this long to end cleanly
_CONNECT_SECONDS = 5.0  # the engine listens on this machine
_ORPHANED_EXIT_CODE = 3


class EngineGoneError(InfraError):
    """The engine ended before this provider did."""

    def __init__(self) -> None:
        super().__init__("the engine is gone", fix="run `pulumi cancel`, then `pulumi up`")


class Engine:
    """Watches the parent process and counts the operations under way."""

    def __init__(self, address: str) -> None:
        """Remember the parent, which is the engine if the engine still answers at ``address`` after that."""
        self._parent = os.getppid()
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            raise EngineGoneError from error
        self._address = address
        self._running = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise `EngineGoneError` when the engine is gone; called just before each step that cannot be undone."""
        if os.getppid() != self._parent:
            raise EngineGoneError

    def warn(self, urn: str, sentence: str) -> None:
        """Show ``sentence`` as a warning about the resource ``urn``; one that cannot be shown stops nothing."""
        with suppress(grpc.RpcError), grpc.insecure_channel(self._address) as channel:
            engine_pb2_grpc.EngineStub(channel).Log(
                engine_pb2.LogRequest(severity=engine_pb2.WARNING, urn=urn, message=sentence), timeout=_CONNECT_SECONDS
            )

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Count an operation, so that an orphan ends between operations rather than inside one."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def watch(self) -> None:
        """End this process soon after the engine ended."""
        threading.Thread(target=self._wait_and_exit, name="engine-watch", daemon=True).start()

    def _wait_and_exit(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(_POLL_SECONDS)
        deadline = time.monotonic() + _GRACE_SECONDS
        while self._running and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        os._exit(_ORPHANED_EXIT_CODE)
