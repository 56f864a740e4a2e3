"""The schema for editors: it takes every policy there is here, and refuses the mistakes that a shape can show."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support.policy_mistakes import Mistake, mistakes

from keyrung_policies import library
from keyrung_policies.conditions import OPERATORS
from keyrung_policies.declarations import TYPE_FIELDS
from keyrung_policies.schema import policy_schema
from keyrung_policies.templating import render

ROOT = Path(__file__).parents[2] / "policies"
VALIDATOR = jsonschema.Draft202012Validator(policy_schema())


class _Loader(yaml.SafeLoader):
    """Reads YAML as editors do: a time of day without quotes is a text to YAML 1.2, not a number in base 60."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in ("tag:yaml.org,2002:timestamp",)]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _policies() -> dict[str, str]:
    texts = {path.name: path.read_text() for path in (ROOT / "catalog").glob("*.yaml")}
    examples = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    texts |= {f"readme-{number}": text for number, text in enumerate(examples)}
    for name in library.names():
        for environment, values in library.parameters(name).environments.items():
            texts[f"{name}-{environment}"] = render(library.template_text(name), values, file=name).text
    return texts


POLICIES = _policies()
# What needs more than one file's shape: names that refer to each other, types, orders, or the text itself.
BEYOND_A_SHAPE = {
    "bad-cidr",
    "bad-duration",
    "bad-moment",
    "bad-range",
    "bad-time",
    "batch-single-use",
    "condition-depth",
    "display-list",
    "display-money",
    "display-syntax",
    "display-unbound",
    "duplicate-acr",
    "duplicate-key",
    "duplicate-name",
    "file-too-large",
    "key-not-text",
    "level-cycle",
    "level-no-join",
    "no-files",
    "no-rules",
    "operator-type",
    "undeclared-attribute",
    "unknown-level",
    "unknown-rule",
    "value-mismatch",
    "yaml-alias",
    "yaml-depth",
    "yaml-syntax",
    "zero-age-reused",
}


# A reader of YAML turns these into an integer and a text before a schema sees them.
SPELLINGS = {"wrong-type octal", "wrong-type half a surrogate pair"}
SHAPES = [
    mistake
    for mistake in mistakes()
    if mistake.name.partition(" ")[0] not in BEYOND_A_SHAPE and mistake.name not in SPELLINGS
]


def load(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader with fewer resolvers


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(policy_schema())


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_of_this_project_fits(name: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(load(POLICIES[name]))] == []


@pytest.mark.parametrize("mistake", SHAPES, ids=lambda mistake: mistake.name)
def test_mistake_of_shape_is_refused(mistake: Mistake) -> None:
    assert list(VALIDATOR.iter_errors(load(mistake.text)))


def test_schema_knows_every_word_of_the_language() -> None:
    words = {*OPERATORS, *(field for fields in TYPE_FIELDS.values() for field in fields), *TYPE_FIELDS}
    text = str(policy_schema())
    assert [word for word in sorted(words) if f"'{word}'" not in text] == []
