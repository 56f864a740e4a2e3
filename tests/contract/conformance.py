"""Every back end passes the checks that users run on their own HSM, as far as it states the abilities."""

import secrets
from collections.abc import Callable
from typing import ClassVar

import pytest

from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.conformance.run import CHECKS, Outcome, run
from keyrung_provisioners.uri import VaultUri


class ConformanceContract:
    """All checks, with each algorithm.

    Attributes:
        lacking: By algorithm, the checks that this store has nothing for although the back end states the ability.
    """

    lacking: ClassVar[dict[str, frozenset[str]]] = {}

    @pytest.fixture(params=list(ALGORITHMS))
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_every_check_is_passed_where_its_ability_is_stated(
        self, name: str, reopen: Callable[[], KeyManager], vault: VaultUri
    ) -> None:
        manager = reopen()
        assert name in manager.algorithms
        before = manager.names(vault)
        results = run(reopen, vault, algorithms=[name], random=secrets.token_bytes, reached=lambda _result: None)
        assert [result for result in results if result.outcome is Outcome.FAILED] == []
        stated = {
            check.name for check in CHECKS if check.applies(ALGORITHMS[name]) and check.needs <= manager.capabilities
        }
        offered = {result.check for result in results[:-1] if result.outcome is Outcome.PASSED}
        assert offered == stated - self.lacking.get(name, frozenset())
        assert manager.names(vault) == before
