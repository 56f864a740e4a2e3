"""Templates: values stay values, nothing outside is reached, and mistakes are told at the template's own line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.errors import PolicyErrors
from keyrung_policies.parameters import ParameterValue, read_parameters
from keyrung_policies.templating import render

HEAD = "keyrung: policy/v1\ndefault: deny\n"
TEMPLATE = (
    HEAD
    + """levels:
  otp: {acr: o, any_of: [[otp]]}
rules:
{% for action in actions %}
  - id: rule-{{ loop.index }}
    actions: [{{ action }}]
    require: {level: otp, max_age: {{ age }}}
{% endfor %}
{% if strict %}
  - {id: last, actions: ["*"], deny: true}
{% endif %}
"""
)
VALUES: dict[str, ParameterValue] = {"actions": ("a.b", "c.d"), "age": "5m", "strict": True}


def told(template: str, values: dict[str, ParameterValue]) -> str:
    with pytest.raises(PolicyErrors) as caught:
        render(template, values, file="t.yaml.j2").compile()
    return str(caught.value)


def test_parameters_fill_repeat_and_leave_out_lines() -> None:
    rendered = render(TEMPLATE, VALUES, file="t.yaml.j2")
    assert list(rendered.compile().policy.document.rules) == ["last", "rule-1", "rule-2"]
    assert "actions: [a.b]" in rendered.text
    without = render(TEMPLATE, VALUES | {"strict": False}, file="t.yaml.j2")
    assert "last" not in without.text


def test_same_parameters_give_the_same_text() -> None:
    assert render(TEMPLATE, VALUES, file="t").text == render(TEMPLATE, VALUES, file="t").text


def test_mistake_in_the_rendered_policy_is_told_at_the_line_of_the_template() -> None:
    wrong = TEMPLATE.replace("deny: true", "deny: true, oops: 1").replace("level: otp,", "level: gone,")
    assert told(wrong, VALUES).splitlines() == [
        "t.yaml.j2:9:22: unknown-level: the level gone is not declared; declare it under `levels` or correct the name.",
        "t.yaml.j2:9:22: unknown-level: the level gone is not declared; declare it under `levels` or correct the name.",
        "t.yaml.j2:12:44: unknown-field: the field 'oops' is unknown here; "
        "use id, actions, trigger, when, require, deny, allow, display.",
    ]


def test_mistake_behind_a_filled_in_value_is_told_at_that_value() -> None:
    assert told(TEMPLATE, VALUES | {"age": "48h"}).startswith("t.yaml.j2:9:36: bad-duration: ")


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("{{ gone }}", "'gone' is undefined"),
        ("{{ age.gone }}", "'str object' has no attribute 'gone'"),
        ("{{ age", "unexpected end of template"),
        ("{{ age|attr('upper') }}", "No filter named 'attr'"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ range(9) }}", "'range' is undefined"),
        ("{{ 'a' * 1000000000 }}", "the operator * is not used in templates"),
        ("{{ 9 ** 9 ** 9 }}", "the operator ** is not used in templates"),
        ("{{ '%1000000000d' % 1 }}", "the operator % is not used in templates"),
        ("{{ 'a' + 'b' }}", "the operator + is not used in templates"),
        ("{{ 9007199254740991 + 1 }}", "the result of + exceeds 9007199254740991"),
        ("{{ 'a'.ljust(1000000000) }}", "templates call nothing"),
        ("{{ '{:1000000000}'.format(1) }}", "templates call nothing"),
        ("{% macro m() %}x{% endmacro %}", "a block makes its text a value"),
        ("{% set m %}x{% endset %}", "a block makes its text a value"),
        ("{% filter upper %}x{% endfilter %}", "a block makes its text a value"),
        ("{% include 'other.yaml' %}", "no loader for this environment specified"),
        ("{{ 1 // 0 }}", "integer division or modulo by zero"),
        ("{{ {'a': 1} }}", "a dict is no value of a policy"),
    ],
)
def test_expression_that_reaches_beyond_its_parameters_is_told_with_its_line(expression: str, sentence: str) -> None:
    message = told(f"{HEAD}# {expression}\n", VALUES)
    assert message.startswith("t.yaml.j2:3:1: template: ")
    assert sentence in message


def test_template_that_would_make_an_endless_policy_is_stopped() -> None:
    values: dict[str, ParameterValue] = {"many": tuple(f"item-{index}" for index in range(2000))}
    template = "{% for a in many %}{% for b in many %}# {{ a }} {{ b }}\n{% endfor %}{% endfor %}"
    assert "the rendered policy exceeds 1048576 characters" in told(template, values)


@settings(deadline=None)
@given(st.text())
def test_text_never_breaks_out_of_its_place(text: str) -> None:
    template = HEAD + "attributes:\n  resource.kind: {type: enum, values: [{{ kind }}, other-kind]}\nrules:\n"
    template += "  - {id: one, actions: [a.b], allow: true}\n"
    if text == "other-kind" or any("\ud800" <= character <= "\udfff" for character in text):
        return
    document = render(template, {"kind": text}, file="t").compile().policy.document
    assert sorted(getattr(document.attributes["resource.kind"], "values", ())) == sorted([text, "other-kind"])
    assert list(document.rules) == ["one"]


PARAMETERS = """keyrung: template/v1
about: A test
parameters:
  limit: {type: integer, min: 1, max: 10, about: The limit}
  age: {type: duration, about: The age}
  names: {type: list, about: Some names}
  loud: {type: boolean, about: Loud}
environments:
  dev: {limit: 5, age: 5m, names: [a, b], loud: true}
"""


def test_parameters_are_read_by_environment_and_type() -> None:
    parameters = read_parameters(PARAMETERS.encode(), file="p.yaml")
    assert parameters.about == "A test"
    assert parameters.environments == {"dev": {"limit": 5, "age": "5m", "names": ("a", "b"), "loud": True}}


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("limit: 5", "limit: 11", "p.yaml:9:16: wrong-value: limit is 11; write at most 10."),
        ("limit: 5", "limit: 0", "p.yaml:9:16: wrong-value: limit is 0; write at least 1."),
        ("age: 5m", "age: 5", "p.yaml:9:24: bad-duration: the duration 5 has no unit; write 5s, 5m or 5h."),
        ("loud: true", "loud: 1", "p.yaml:9:49: wrong-type: this is an integer, not a boolean; write true or false."),
        (", loud: true", "", "p.yaml:9:8: missing-field: the field 'loud' is missing; add it."),
        (
            "loud: true",
            "loud: true, extra: 1",
            "p.yaml:9:55: unknown-field: the field 'extra' is unknown here; use limit, age, names, loud.",
        ),
        (
            "type: boolean",
            "type: secret",
            "p.yaml:7:16: wrong-value: 'secret' is not known here; use one of text, integer, boolean, duration, list.",
        ),
    ],
)
def test_wrong_parameter_is_told_with_its_place(right: str, wrong: str, message: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        read_parameters(PARAMETERS.replace(right, wrong).encode(), file="p.yaml")
    assert str(caught.value).splitlines()[0] == message


def test_template_module_is_loaded_by_nothing_that_decides() -> None:
    package = Path(__file__).parents[2] / "policies" / "keyrung_policies"
    importers = [path.name for path in package.glob("*.py") if "keyrung_policies.templating" in path.read_text()]
    assert importers == []
