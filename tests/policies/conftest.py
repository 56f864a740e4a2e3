"""What the policy tests share: the compiled sample policy of the catalogue."""

from pathlib import Path

import pytest

from keyrung_policies.compile import Compiled, compile_path

CATALOG = Path(__file__).parents[2] / "policies" / "catalog"


@pytest.fixture(scope="session")
def bank() -> Compiled:
    return compile_path(CATALOG)
