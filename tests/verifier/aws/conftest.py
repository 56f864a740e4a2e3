"""moto's server for the whole session, emptied for each test."""

from collections.abc import Iterator

import pytest
from support.aws import close_clients
from support.moto_server import forget_everything, moto_server
from support.tcp_proxy import TcpProxy, tcp_proxy

from keyrung_verifier.aws.endpoint import Endpoint


@pytest.fixture(scope="session")
def running_moto() -> Iterator[Endpoint]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def moto(running_moto: Endpoint) -> Endpoint:
    forget_everything()
    return running_moto


@pytest.fixture(autouse=True)
def _closed_clients() -> Iterator[None]:
    yield
    close_clients()


@pytest.fixture
def proxy(moto: Endpoint) -> Iterator[TcpProxy]:
    """A proxy in front of moto."""
    with tcp_proxy(moto) as made:
        yield made
