"""One declared key, over each store."""

from pathlib import Path

import pytest
from support.openbao import OpenBaoServer
from support.provisioning import Workshop, token_workshop, vault_workshop
from support.softhsm import SoftHsmToken


@pytest.fixture
def token_key(softhsm_token: SoftHsmToken, tmp_path: Path) -> Workshop:
    """A key in a token."""
    return token_workshop(softhsm_token, tmp_path)


@pytest.fixture
def vault_key(openbao: OpenBaoServer, tmp_path: Path) -> Workshop:
    """A key in OpenBao."""
    return vault_workshop(openbao, tmp_path)


@pytest.fixture(params=["token_key", "vault_key"])
def key(request: pytest.FixtureRequest) -> Workshop:
    """A key in each of the stores."""
    found: Workshop = request.getfixturevalue(request.param)
    return found
