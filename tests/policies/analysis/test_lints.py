"""Each lint finds what it is for, and leaves alone what only looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.policies import HEAD, compiled

from keyrung_policies.analysis.lints import LINTS, lint, looks_secret
from keyrung_policies.compile import compile_path

STEP_UP = "require: {level: phr, max_age: 5m}"
PLAIN = f"""
- {{id: small, actions: [pay], when: {{resource.amount: {{lt: 100}}}}, allow: true}}
- {{id: large, actions: [pay], when: {{resource.amount: {{gte: 100}}}}, {STEP_UP}}}
"""
# Lint -> rules and further sections on which it finds something, and on which it finds nothing.
EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "dead-rule": (
        ("- {id: x, actions: [pay], when: {resource.amount: {gt: 10, lt: 11}}, deny: true}", ""),
        ("- {id: x, actions: [pay], when: {resource.amount: {gt: 10, lt: 12}}, deny: true}", ""),
    ),
    "shadowed-rule": (
        (f"- {{id: x, actions: [pay], when: {{resource.amount: {{gte: 500}}}}, {STEP_UP}}}", ""),
        ("- {id: x, actions: [pay], when: {resource.amount: {gte: 500}}, require: {level: phr, max_age: 1m}}", ""),
    ),
    # Only phr is asked for by the other rules, which does not reach down to otp.
    "unreachable-level": (
        ("- {id: x, actions: [read], allow: true}", ""),
        ("- {id: x, actions: [read], require: {level: otp, max_age: 5m}}", ""),
    ),
    "uncovered-action": (
        ("", "invariants:\n- {name: it, actions: [refund], always: deny}\n"),
        ("", "cases:\n- {name: refunds are denied, action: refund, expect: {outcome: deny}}\n"),
    ),
    "level-unmet": (
        ("- {id: x, actions: [wire], require: {level: unmet, max_age: 5m}}", ""),
        ("- {id: x, actions: [wire], require: {level: otp, max_age: 5m}}", ""),
    ),
    "secret-text": (
        ('- {id: x, actions: [read], when: {resource.path: "password=hunter2"}, allow: true}', ""),
        ('- {id: x, actions: [read], when: {resource.path: "/passwords/new"}, allow: true}', ""),
    ),
}


def found_by(example: tuple[str, str]) -> set[str]:
    rules, beside = example
    unmet = "  unmet: {acr: unmet, any_of: [[webauthn-uv-attested]], above: [phr]}\n"
    head = HEAD.replace("rules:\n", f"{unmet if 'level: unmet' in rules else ''}rules:\n")
    return {one.id for one in lint(compiled(f"{PLAIN}{rules}", beside=beside, head=head))}


@pytest.mark.parametrize("name", sorted(LINTS.keys() - {"not-decided"}))
def test_a_lint_finds_its_failing_example_and_passes_the_other(name: str) -> None:
    failing, passing = EXAMPLES[name]
    assert name in found_by(failing)
    assert name not in found_by(passing)


def test_every_lint_has_examples_and_a_sentence() -> None:
    assert EXAMPLES.keys() == LINTS.keys() - {"not-decided"}
    assert all(LINTS.values())


def test_what_could_not_be_decided_in_time_is_a_finding() -> None:
    ticks = iter(range(0, 10_000, 30))
    assert {one.id for one in lint(compiled(PLAIN), timeout_seconds=20, clock=lambda: next(ticks))} == {"not-decided"}


def test_a_finding_stands_at_its_rule() -> None:
    policy = compiled(f"{PLAIN}- {{id: x, actions: [pay], when: {{resource.amount: {{gte: 500}}}}, {STEP_UP}}}")
    (found,) = [one for one in lint(policy) if one.id == "shadowed-rule"]
    assert found.line == policy.rule_places["x"].line


def test_two_rules_that_say_the_same_are_both_shadowed() -> None:
    twice = "- {id: one, actions: [read], allow: true}\n- {id: two, actions: [read], allow: true}\n"
    assert sum(one.id == "shadowed-rule" for one in lint(compiled(PLAIN + twice))) == 2


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "abcdefghijklmnopqrst0123",
        "-----BEGIN EC " + "PRIVATE KEY-----",
        "eyJ" + "hbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
        "token: abcd1234",
        "otpauth://totp/x?" + "secret=JBSWY3DPEHPK3PXP",
        "q9Zt3Kf8Lm2Xc7Vb4Nn6Qw1Er5Ty0Ui9",
    ],
)
def test_a_text_in_the_form_of_a_secret_is_told(text: str) -> None:
    assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "urn:keyrung:otp",
        "token-signature-origin-bound",
        "Transfer {resource.amount_minor|money:resource.currency} to {resource.payee}",
        "/var/log/*",
        "arn:aws:iam::123456789012:role/some-role-with-a-long-name",
        "a-very-long-rule-name-that-goes-on-and-on-for-no-reason",
    ],
)
def test_a_plain_text_is_not_told(text: str) -> None:
    assert not looks_secret(text)


def test_the_catalogue_is_clean() -> None:
    assert lint(compile_path(Path(__file__).parents[3] / "policies" / "catalog")) == ()
