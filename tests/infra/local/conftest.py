from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.openbao import OpenBaoServer, public_key

from keyrung_infra.local.layout import OpenBaoLayout
from keyrung_infra.local.openbao import OpenBao
from keyrung_infra.local.server import stop_server
from keyrung_infra.tools import Tools


@pytest.fixture
def fingerprint(own_openbao: OpenBaoServer) -> str:
    """Public half of a key, by which kept data is recognised."""
    own_openbao.client("deployer").call("POST", "keyrung/keys/policy-signing-kept", {"type": "ecdsa-p256"})
    return public_key(own_openbao)


@pytest.fixture
def new_openbao(tools: Tools, tmp_path: Path) -> Iterator[OpenBao]:
    """A server that was never up."""
    layout = OpenBaoLayout(folder=tmp_path / "server")
    yield OpenBao(layout, bao=tools.bao, now=lambda: datetime.now(UTC))
    stop_server(layout)
