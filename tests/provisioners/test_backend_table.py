"""The tables of back ends in the README are what the classes state, and the classes state only what is there."""

import pytest
from support.backend_table import README, managers, text, written

from keyrung_provisioners import registry
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import Capability


def test_the_tables_are_what_make_tables_writes() -> None:
    assert written(README.read_text("utf-8")) == text(), "run `make tables` and commit provisioners/README.md"


def test_every_back_end_every_algorithm_and_every_capability_has_its_place() -> None:
    found = written(README.read_text("utf-8"))
    for scheme, (_, extra) in registry._BACKENDS.items():
        assert f"\n| `{scheme}` | " in found
        assert f"`{scheme}:" in found
        assert f"`{extra}` |" in found
    for name in [*ALGORITHMS, *(f"{capability}:" for capability in Capability)]:
        assert f"\n| {name} " in found


@pytest.mark.parametrize("scheme", list(registry._BACKENDS))
def test_a_back_end_states_its_own_scheme_and_known_algorithms(scheme: str) -> None:
    manager = managers()[scheme]
    assert manager.scheme == scheme
    assert manager.algorithms <= set(ALGORITHMS)
    assert manager.capabilities <= set(Capability)
