"""The README of the language: its examples compile, their cases pass, and no word of the language is left out."""

import re
from pathlib import Path

import pytest

from keyrung_policies.cases import run_cases
from keyrung_policies.compile import compile_texts
from keyrung_policies.conditions import OPERATORS
from keyrung_policies.declarations import TYPE_FIELDS
from keyrung_policies.model import AUDITS, BINDINGS, FACTORS, OUTCOMES, TRIGGERS
from keyrung_policies.rules import EFFECTS

README = (Path(__file__).parents[2] / "policies" / "README.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_compiles_and_its_cases_pass(example: str) -> None:
    compiled = compile_texts({"example.yaml": example.encode()})
    assert compiled.cases
    assert [result.differences for result in run_cases(compiled.policy, compiled.cases)] == [()] * len(compiled.cases)


def test_every_word_of_the_language_is_documented() -> None:
    words = {*OPERATORS, *TYPE_FIELDS, *EFFECTS, *OUTCOMES, *AUDITS, *BINDINGS, *FACTORS, *TRIGGERS}
    words |= {field for fields in TYPE_FIELDS.values() for field in fields}
    assert len(EXAMPLES) >= 2
    assert {word for word in words if f"`{word}`" not in README} == set()
