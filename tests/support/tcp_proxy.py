"""A small TCP proxy that stands between a client and a server and can hang, drip or swallow answers."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from keyrung_verifier.aws.endpoint import Endpoint

CHUNK_BYTES = 65536


class TcpProxy:
    """Passes bytes to `target`; the attributes say what goes wrong, and count.

    Attributes:
        hang: Accept and read, and pass nothing on.
        drop_answers: So many of the next answers are read from the server and thrown away, and the connection closed.
        drip_seconds: Pass answers on one byte at a time, so long apart.
        connections_count: Connections accepted so far.
    """

    def __init__(self, target: Endpoint) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = Endpoint(scheme="http", host="127.0.0.1", port=self._listener.getsockname()[1])
        self.hang = False
        self.drop_answers = 0
        self.drip_seconds = 0.0
        self.connections_count = 0
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join()

    def cut(self) -> None:
        """Close every connection."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections_count += 1
            far = socket.create_connection((self._target.host, self._target.port))
            self._open += [near, far]
            threading.Thread(target=self._serve, args=(near, far), daemon=True).start()

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        answers = threading.Thread(target=self._pass_answers, args=(far, near), daemon=True)
        answers.start()
        with suppress(OSError):
            while data := near.recv(CHUNK_BYTES):
                if not self.hang:
                    far.sendall(data)
        with suppress(OSError):
            far.shutdown(socket.SHUT_RDWR)
        answers.join()
        near.close()
        far.close()

    def _pass_answers(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(CHUNK_BYTES):
                if self.drop_answers:
                    self.drop_answers -= 1
                    near.shutdown(socket.SHUT_RDWR)
                    return
                for part in [data] if not self.drip_seconds else [data[i : i + 1] for i in range(len(data))]:
                    near.sendall(part)
                    time.sleep(self.drip_seconds)
        with suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)


@contextmanager
def tcp_proxy(target: Endpoint) -> Iterator[TcpProxy]:
    """Run a proxy in front of `target`."""
    proxy = TcpProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
