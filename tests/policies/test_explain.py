"""Explanations: every rule for the action is told, with what decided it, in words a reviewer reads."""

from datetime import UTC, datetime

import pytest

from keyrung_policies.compile import Compiled, compile_texts
from keyrung_policies.explain import explain
from keyrung_policies.model import Request, Value
from keyrung_policies.words import condition_words, duration

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def views(policy: Compiled, action: str, attributes: dict[str, Value]) -> list[tuple[str, str, tuple[str, ...]]]:
    explanation = explain(policy.policy, Request(action=action, attributes=attributes), NOW)
    return [(rule.rule_id, rule.state, rule.because) for rule in explanation.rules]


def test_rule_tells_which_condition_decided_with_the_value_of_the_request(bank: Compiled) -> None:
    attributes: dict[str, Value] = {
        "resource.amount_minor": 5,
        "resource.currency": "EUR",
        "resource.payee": "Alice",
    }
    assert views(bank, "payments.transfer", attributes) == [
        (
            "large-transfer",
            "does-not-apply",
            ("not so: resource.amount_minor >= 100000 (resource.amount_minor = 5)",),
        ),
        ("small-transfer", "applies", ("resource.amount_minor < 100000 (resource.amount_minor = 5)",)),
    ]


@pytest.mark.parametrize("attributes", [{}, {"subject.kind": "robot"}])
def test_rules_are_not_judged_on_a_request_that_lacks_what_they_need(
    bank: Compiled, attributes: dict[str, Value]
) -> None:
    assert views(bank, "customers.export", attributes) == [
        ("export-customers", "not-judged", ()),
        ("no-export-by-machines", "not-judged", ("subject.kind is machine",)),
    ]


def test_action_that_no_rule_names_has_no_rules(bank: Compiled) -> None:
    assert views(bank, "accounts.close", {}) == []


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("{resource.n: {gt: 1, lte: 5}}", "resource.n > 1 and resource.n <= 5"),
        ("{resource.name: {in: [a, b, c]}}", "resource.name is a, b or c"),
        ("{resource.name: {glob: 'a*'}}", 'resource.name fits "a*"'),
        ("{context.ip: {cidr: 10.0.0.0/8}}", "context.ip lies in 10.0.0.0/8"),
        ("{subject.roles: {has: admin}}", "subject.roles has admin"),
        ("{signal.odd: true}", "signal.odd is true"),
        ("{time: {from: '22:00', to: '06:30'}}", "the time is from 22:00 to 06:30 UTC"),
        ("{not: {signal.odd: true}}", "not (signal.odd is true)"),
        (
            "{any: [{signal.odd: true}, {resource.n: 1, resource.name: x}]}",
            "signal.odd is true or (resource.n is 1 and resource.name is x)",
        ),
        (
            "{resource.n: 1, any: [{signal.odd: true}, {resource.n: 2}]}",
            "resource.n is 1 and (resource.n is 2 or signal.odd is true)",
        ),
    ],
)
def test_condition_reads_as_a_sentence(when: str, words: str) -> None:
    text = f"""
keyrung: policy/v1
default: deny
attributes:
  resource.n: {{type: integer}}
  resource.name: {{type: text}}
  context.ip: {{type: ip}}
  subject.roles: {{type: set}}
  signal.odd: {{type: boolean}}
rules: [{{id: one, actions: [a], when: {when}, allow: true}}]
"""
    condition = compile_texts({"p.yaml": text.encode()}).policy.document.rules["one"].when
    assert condition is not None
    assert condition_words(condition) == words


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (90, "90s"), (7200, "2h")])
def test_duration_reads_as_authors_write_it(seconds: int, text: str) -> None:
    assert duration(seconds) == text
