from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from keyrung_toolchain.errors import UnreachableError
from keyrung_toolchain.network import GIVE_UP_SECONDS, require_reachable


class _Answers(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as http:
        worker = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        worker.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        worker.join()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("status", [200, 204, 401, 405])
def test_a_server_that_answers_is_reachable(server: str, status: int) -> None:
    require_reachable(f"{server}/{status}")


@pytest.mark.parametrize("status", [403, 404, 502])
def test_a_server_without_the_thing_counts_as_unreachable(server: str, status: int) -> None:
    with pytest.raises(UnreachableError, match=f"HTTP status {status}"):
        require_reachable(f"{server}/{status}")


def test_a_silent_server_is_given_up_in_time(silent_server: str) -> None:
    start_seconds = time.monotonic()

    with pytest.raises(UnreachableError, match="can't be reached"):
        require_reachable(silent_server, timeout_seconds=0.3)

    assert time.monotonic() - start_seconds < 2


def test_a_closed_port_is_given_up_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(UnreachableError):
        require_reachable(f"http://127.0.0.1:{port}/")


def test_no_source_is_waited_for_longer_than_ten_seconds() -> None:
    assert GIVE_UP_SECONDS <= 10
