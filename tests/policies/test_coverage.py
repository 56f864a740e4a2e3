"""What cases leave untested: rules, sides of thresholds, and changes that nothing would notice."""

import pytest

from keyrung_policies.cases import run_cases
from keyrung_policies.compile import Compiled, compile_texts
from keyrung_policies.coverage import Boundary, coverage
from keyrung_policies.mutation import surviving_mutants

TEXT = """
keyrung: policy/v1
default: deny
attributes:
  resource.n: {type: integer, min: 0, max: 100}
  signal.odd: {type: boolean}
levels:
  low: {acr: low, any_of: [[otp]]}
  high: {acr: high, any_of: [[token-signature-origin-bound]], above: [low]}
rules:
  - id: big
    actions: [pay]
    when: {any: [{signal.odd: true}, {not: {resource.n: {lt: 50}}}]}
    require: {level: high, max_age: 5m}
  - {id: any, actions: [pay], allow: true}
  - {id: full, actions: [pay], when: {resource.n: {gt: 100}}, deny: true}
  - {id: lonely, actions: [view], require: {level: low, max_age: 24h}}
"""
THOROUGH = """
cases:
  - {name: below, action: pay, attributes: {resource.n: 49, signal.odd: false}, expect: {outcome: allow}}
  - {name: at, action: pay, attributes: {resource.n: 50, signal.odd: false},
     expect: {outcome: step_up, level: high, max_age: 5m}}
  - {name: top, action: pay, attributes: {resource.n: 100, signal.odd: false}, expect: {outcome: step_up}}
  - {name: odd, action: pay, attributes: {resource.n: 0, signal.odd: true}, expect: {outcome: step_up}}
  - {name: view, action: view, expect: {outcome: step_up, level: low}}
"""
SLOPPY = """
cases:
  - {name: small, action: pay, attributes: {resource.n: 1, signal.odd: false}, expect: {outcome: allow}}
  - {name: big, action: pay, attributes: {resource.n: 90, signal.odd: false}, expect: {outcome: step_up}}
"""


def compiled(cases: str) -> Compiled:
    return compile_texts({"policy.yaml": (TEXT + cases).encode()})


def survivors(policy: Compiled) -> list[str]:
    return [f"{mutant.rule_id}: {mutant.change}" for mutant in surviving_mutants(policy.policy, policy.cases)[1]]


def test_rule_is_covered_by_deciding_and_not_by_being_looked_at() -> None:
    policy = compiled(SLOPPY)
    found = coverage(policy.policy, run_cases(policy.policy, policy.cases))
    assert (found.rules_count, found.untried_rule_ids) == (4, ("full", "lonely"))


def test_threshold_needs_a_case_right_at_both_sides_as_far_as_the_attribute_goes() -> None:
    policy = compiled(SLOPPY)
    found = coverage(policy.policy, run_cases(policy.policy, policy.cases))
    assert found.boundaries_count == 3
    assert found.untried_boundaries == (
        Boundary(rule_id="big", attribute="resource.n", value=49),
        Boundary(rule_id="big", attribute="resource.n", value=50),
        Boundary(rule_id="full", attribute="resource.n", value=100),
    )
    policy = compiled(THOROUGH)
    assert coverage(policy.policy, run_cases(policy.policy, policy.cases)).untried_boundaries == ()


def test_changes_that_show_and_that_no_case_notices_are_told_by_rule() -> None:
    assert survivors(compiled(SLOPPY)) == [
        "big: resource.n < 50 -> 49",
        "big: resource.n < 50 -> 51",
        "big: level high -> low",
        "big: max_age 5m -> 10m",
        "full: resource.n > 100 -> 99",
    ]


def test_thorough_cases_notice_every_change() -> None:
    tried_count, survived = surviving_mutants(compiled(THOROUGH).policy, compiled(THOROUGH).cases)
    # Of big: without it, both thresholds, level, age; any: without it; full: 99; lonely: without it, level.
    assert (tried_count, survived) == (9, ())


@pytest.mark.parametrize(("single", "outcome"), [("pay", "step_up"), ("view", "deny")])
def test_only_rule_taken_away_leaves_a_denial(single: str, outcome: str) -> None:
    text = f"""
keyrung: policy/v1
default: deny
levels: {{low: {{acr: low, any_of: [[otp]]}}}}
rules: [{{id: one, actions: [pay], require: {{level: low, max_age: 24h}}}}]
cases: [{{name: other, action: {single}, expect: {{outcome: {outcome}}}}}]
"""
    policy = compile_texts({"p.yaml": text.encode()})
    assert survivors(policy) == []


def test_sample_policy_is_tested_throughout(bank: Compiled) -> None:
    found = coverage(bank.policy, run_cases(bank.policy, bank.cases))
    assert (found.untried_rule_ids, found.untried_boundaries) == ((), ())
    assert survivors(bank) == []
