"""The table of attacks is whole: every number has its row, and every test that it names is one that runs."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent
ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<what>[^|]+) \| (?P<tests>`[^|]+`) \|$", re.MULTILINE)
NUMBERS = [*range(1, 24), *range(37, 66), *range(77, 91)]
FAULTS = [*range(8, 12), *range(16, 21), *range(22, 31), 34]


def rows(title: str) -> list[tuple[str, list[str]]]:
    """Return the first cell and the tests of each row under a heading."""
    section = (HERE / "README.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = [(row["name"], re.findall(r"`([^`]+)`", row["tests"])) for row in ROW.finditer(section)]
    assert len(found) == section.count("\n| ") - 2, "a row has another form"
    return found


@cache
def collected_from(file: str) -> set[str]:
    """Return what pytest collects from a file: its functions, classes and their methods, by name."""
    tree = ast.parse((TESTS / file).read_text())
    named = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    named |= {target.id for target in assigned if isinstance(target, ast.Name)}
    return {name for name in named if name.startswith(("test_", "Test"))}


@pytest.mark.parametrize(
    ("title", "numbers"), [("What must hold", NUMBERS), ("Faults", FAULTS)], ids=["what must hold", "faults"]
)
def test_every_number_has_one_row(title: str, numbers: list[int]) -> None:
    assert [name for name, _ in rows(title)] == [str(number) for number in numbers]


@pytest.mark.parametrize("title", ["Seen in other systems", "What must hold", "Faults"])
def test_every_test_that_is_named_is_one_that_runs(title: str) -> None:
    named = [(name, test) for name, tests in rows(title) for test in tests]

    assert named
    for name, test in named:
        file, _, function = test.partition("::")
        # The contracts of stores are run by a test file of each store, which inherits them.
        assert Path(file).name.startswith("test_") or file == "contract/store.py", test
        assert function in collected_from(file), f"row {name} names {test}"


@pytest.mark.parametrize("title", ["Seen in other systems", "What must hold", "Faults"])
def test_no_row_names_a_test_twice(title: str) -> None:
    assert [name for name, tests in rows(title) if len(set(tests)) != len(tests)] == []
