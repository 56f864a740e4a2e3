"""The table of back ends in the README says what the classes say."""

from importlib import import_module
from pathlib import Path

import pytest

from keyrung_provisioners import registry
from keyrung_provisioners.algorithms import ALGORITHMS

_README = Path(__file__).parents[2] / "provisioners" / "README.md"


def _rows() -> dict[str, list[str]]:
    """Return the cells of the first table by the scheme that its first cell names."""
    table = _README.read_text().split("## Back ends", 1)[1].strip().split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0].split("`")[1]: row for row in rows}


def test_the_table_has_a_row_for_each_back_end_and_no_other() -> None:
    assert set(_rows()) == set(registry._BACKENDS)


@pytest.mark.parametrize("scheme", list(registry._BACKENDS))
def test_a_row_names_the_algorithms_and_capabilities_that_the_class_states(scheme: str) -> None:
    path, extra = registry._BACKENDS[scheme]
    module, _, name = path.partition(":")
    found = getattr(import_module(module), name)
    row = _rows()[scheme]
    assert found.scheme == scheme
    assert row[3] == ", ".join(name for name in ALGORITHMS if name in found.algorithms)
    assert row[4] == ", ".join(sorted(found.capabilities))
    assert row[5] == f"`{extra}`"
    assert row[1].startswith(f"`{scheme}:")
    assert row[2].startswith(row[1].rstrip("`"))
