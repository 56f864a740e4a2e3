"""The comparison against trying everything: random pairs of small policies, every request of a finite domain."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from support.policy_attempts import acrs, gains
from support.policy_domain import TRIED_ACTIONS, pairs, requests

from keyrung_policies.analysis.diff import diff
from keyrung_policies.analysis.differences import PolicyDiff
from keyrung_policies.analysis.strength import Verdict, verdict_of, worst_of
from keyrung_policies.evaluate import evaluate
from keyrung_policies.model import Decision
from keyrung_policies.policy_set import PolicySet

_NO_LIMITS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@given(pairs())
@settings(_NO_LIMITS, max_examples=200)
def test_every_verdict_is_the_one_found_by_trying_every_request(pair: tuple[PolicySet, PolicySet, list[str]]) -> None:
    compare_with_everything(*pair)


@pytest.mark.slow
@given(pairs())
@settings(_NO_LIMITS, max_examples=2000)
def test_two_thousand_verdicts_are_those_found_by_trying_every_request(
    pair: tuple[PolicySet, PolicySet, list[str]],
) -> None:
    compare_with_everything(*pair)


def compare_with_everything(base: PolicySet, head: PolicySet, names: list[str]) -> None:
    found = diff(base, head, timeout_seconds=600)

    claimed = {action: claimed_verdict(found, base, head, action) for action in TRIED_ACTIONS}
    tried = {action: tried_verdict(base, head, action, names) for action in TRIED_ACTIONS}
    assert claimed == tried
    assert not any(one.undecided for one in found.actions)


def claimed_verdict(found: PolicyDiff, base: PolicySet, head: PolicySet, action: str) -> Verdict:
    """What the comparison says about an action: by its rules, and by declarations that its rules don't look at."""
    plans = [id(one.plan_for(action)) for one in (base, head)]
    verdicts = [
        one.verdict
        for one in found.actions
        if [id(policy.plan_for(one.action.example)) for policy in (base, head)] == plans
    ]
    reached = [
        one.verdict
        for one in found.declarations
        if any([id(policy.plan_for(other.example)) for policy in (base, head)] == plans for other in one.actions)
    ]
    return worst_of([*verdicts, *reached])


def tried_verdict(base: PolicySet, head: PolicySet, action: str, names: list[str]) -> Verdict:
    before_acrs, after_acrs = acrs(base), acrs(head)
    decided: dict[str, tuple[Decision, Decision]] = {}
    for request, now in requests(action, names):
        before, after = evaluate(base, request, now), evaluate(head, request, now)
        decided[repr((before.outcome, before.requirement, after.outcome, after.requirement))] = before, after
    return verdict_of(
        weaker=any(gains(before, after, before_acrs) for before, after in decided.values()),
        stronger=any(gains(after, before, after_acrs) for before, after in decided.values()),
    )
