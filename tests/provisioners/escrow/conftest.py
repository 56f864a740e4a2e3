"""A site with a token and three custodians, two of whom make a quorum."""

from pathlib import Path

import pytest
from support.escrow import Site, custodians, open_token
from support.softhsm import SoftHsmToken


@pytest.fixture
def site(softhsm_token: SoftHsmToken, tmp_path: Path) -> Site:
    """Nothing is provisioned yet."""
    return Site(folder=tmp_path, token=softhsm_token, custodians=custodians(), manager=open_token(softhsm_token))
