"""A provider without an engine, for checks and diffs."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.engine import Engine
from keyrung_infra.provider.provider import KeyrungProvider


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[KeyrungProvider]:
    """A provider that was told of no store at all, as it serves checks and diffs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        engine = Engine(f"127.0.0.1:{listening.getsockname()[1]}")
        yield KeyrungProvider(Backends(tmp_path, reached=lambda _point: None), engine)
