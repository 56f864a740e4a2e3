"""Cases beside a policy: the sample policy keeps its own, and a wrong expectation is told in words."""

from datetime import UTC, datetime, timedelta, timezone

from keyrung_policies.cases import run_cases
from keyrung_policies.compile import Compiled, compile_texts

POLICY = """
keyrung: policy/v1
default: deny
levels:
  otp: {acr: o, any_of: [[otp]]}
rules:
  - {id: day, actions: [a.b], when: {time: {from: "08:00", to: "18:00"}}, allow: true}
  - {id: night, actions: [a.b], when: {not: {time: {from: "08:00", to: "18:00"}}}, require: {level: otp, max_age: 1m}}
cases:
"""


def compiled(cases: str) -> Compiled:
    return compile_texts({"policy.yaml": (POLICY + cases).encode()})


def test_cases_of_the_sample_policy_pass(bank: Compiled) -> None:
    results = run_cases(bank.policy, bank.cases)
    assert len(results) >= 8
    assert [(result.case.name, result.differences) for result in results if not result.passed] == []


def test_every_rule_of_the_sample_policy_decides_a_case(bank: Compiled) -> None:
    decided = {rule_id for result in run_cases(bank.policy, bank.cases) for rule_id in result.decision.rule_ids}
    assert decided == set(bank.policy.document.rules)


def test_wrong_expectation_is_told_in_words_and_with_its_place() -> None:
    policy = compiled(
        '  - {name: wrong, action: a.b, at: "2026-11-25T20:00:00Z",\n'
        "     expect: {outcome: allow, level: otp, max_age: 2m, rules: [day], display: hello}}\n"
    )
    (result,) = run_cases(policy.policy, policy.cases)
    assert not result.passed
    assert (result.case.file, result.case.line) == ("policy.yaml", 10)
    assert result.differences == (
        "outcome: expected 'allow', got 'step_up'",
        "max_age in seconds: expected 120, got 60",
        "rules: expected ('day',), got ('night',)",
        "display: expected 'hello', got None",
    )


def test_moment_of_a_case_keeps_its_zone_and_is_noon_of_a_fixed_day_without_one() -> None:
    policy = compiled(
        '  - {name: zoned, action: a.b, at: "2026-11-26T02:00:00+09:00", expect: {outcome: allow}}\n'
        "  - {name: fixed, action: a.b, expect: {outcome: allow}}\n"
    )
    assert policy.cases[0].now == datetime(2026, 11, 26, 2, tzinfo=timezone(timedelta(hours=9)))
    assert policy.cases[1].now == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert all(result.passed for result in run_cases(policy.policy, policy.cases))


def test_cases_leave_no_trace_in_the_policy() -> None:
    with_cases = compiled("  - {name: one, action: a.b, expect: {outcome: allow}}\n").policy
    assert with_cases == compile_texts({"policy.yaml": POLICY.replace("cases:\n", "").encode()}).policy
