"""Invariants: proved, refuted by a real request, or about nothing; and compared with trying every request."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.policies import compiled
from support.policy_domain import TRIED_ACTIONS, conditions, documents, requests

from keyrung_policies import model
from keyrung_policies.analysis.prove import ProofVerdict, prove
from keyrung_policies.compile import compile_path
from keyrung_policies.errors import Place
from keyrung_policies.evaluate import evaluate
from keyrung_policies.invariants import Floor, Invariant, violation
from keyrung_policies.operators import compile_condition, needed_attributes
from keyrung_policies.policy_set import PolicySet, policy_set
from keyrung_policies.values import value_fits

RULES = """
- {id: small, actions: [pay], when: {resource.amount: {lt: 100}}, allow: true}
- {id: large, actions: [pay], when: {resource.amount: {gte: 100}}, require: {level: phr, max_age: 5m}}
- {id: machines, actions: [pay], when: {subject.team: ops}, deny: true}
"""
_NO_LIMITS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize(
    ("promise", "verdict"),
    [
        ("when: {resource.amount: {gte: 100}}, always: {level: phr, max_age: 5m}", ProofVerdict.PROVED),
        ("when: {resource.amount: {gte: 100}}, always: {level: otp, single_use: true}", ProofVerdict.PROVED),
        ("when: {resource.amount: {gte: 99}}, always: {level: phr}", ProofVerdict.REFUTED),
        ("when: {resource.amount: {gte: 100}}, always: {level: phr, max_age: 4m}", ProofVerdict.REFUTED),
        ("when: {subject.team: ops}, always: deny", ProofVerdict.PROVED),
        ("when: {subject.team: sales}, never: deny", ProofVerdict.PROVED),
        ("never: deny", ProofVerdict.REFUTED),
        ("when: {resource.amount: {gt: 1000}}, never: allow", ProofVerdict.VACUOUS),
    ],
)
def test_an_invariant_is_proved_or_refuted(promise: str, verdict: ProofVerdict) -> None:
    policy = compiled(RULES, beside=f"invariants:\n- {{name: it, actions: [pay], {promise}}}\n")
    (proof,) = prove(policy.policy, policy.invariants)
    assert proof.verdict is verdict
    assert (proof.counterexample is not None) == (verdict is ProofVerdict.REFUTED)


def test_a_counterexample_stands_at_the_border_and_says_what_is_wrong() -> None:
    beside = "invariants:\n- {name: it, actions: [pay], when: {resource.amount: {gte: 50}}, always: {level: phr}}\n"
    policy = compiled(RULES, beside=beside)
    (proof,) = prove(policy.policy, policy.invariants)
    assert proof.counterexample is not None
    assert proof.counterexample.request.attributes["resource.amount"] == 50
    assert proof.counterexample.violation == "the outcome is allow, not step_up or deny"


def test_an_invariant_about_a_prefix_speaks_about_actions_nobody_named() -> None:
    beside = 'invariants:\n- {name: it, actions: ["doc.*"], always: deny}\n'
    policy = compiled(
        '- {id: a, actions: ["*"], allow: true}\n- {id: b, actions: [doc.read], deny: true}', beside=beside
    )
    (proof,) = prove(policy.policy, policy.invariants)
    assert proof.counterexample is not None
    assert proof.counterexample.request.action == "doc.other"


def test_what_runs_out_of_time_is_not_proved() -> None:
    policy = compiled(RULES, beside="invariants:\n- {name: it, actions: [pay], always: deny}\n")
    ticks = iter(range(0, 10_000, 30))
    (proof,) = prove(policy.policy, policy.invariants, timeout_seconds=20, clock=lambda: next(ticks))
    assert proof.verdict is ProofVerdict.UNDECIDED


@st.composite
def promises(draw: st.DrawFn) -> tuple[PolicySet, Invariant, list[str]]:
    names = sorted(
        draw(
            st.lists(
                st.sampled_from(["resource.n", "resource.path", "subject.roles"]), unique=True, min_size=1, max_size=2
            )
        )
    )
    document = draw(documents(names))
    floor = draw(
        st.none()
        | st.builds(
            Floor,
            level=st.sampled_from(sorted(document.levels)),
            max_age_seconds=st.sampled_from([None, 60, 120]),
            bind=st.sampled_from([(), ("uri",), ("method", "body")]),
            single_use=st.booleans(),
        )
    )
    some_outcomes = st.lists(st.sampled_from(model.OUTCOMES), min_size=1, max_size=2, unique=True).map(tuple)
    invariant = Invariant(
        place=Place(file="policy.yaml", line=1, column=1),
        name="it",
        actions=(draw(st.sampled_from(["a.b", "a.*", "*", "zz"])),),
        when=draw(st.none() | conditions(document.attributes)),
        outcomes=draw(some_outcomes) if floor is None else ("step_up", "deny"),
        floor=floor,
    )
    return policy_set(document), invariant, names


@given(promises())
@settings(_NO_LIMITS, max_examples=100)
def test_every_proof_is_the_one_found_by_trying_every_request(case: tuple[PolicySet, Invariant, list[str]]) -> None:
    compare_with_everything(*case)


@pytest.mark.slow
@given(promises())
@settings(_NO_LIMITS, max_examples=1000)
def test_a_thousand_proofs_are_those_found_by_trying_every_request(
    case: tuple[PolicySet, Invariant, list[str]],
) -> None:
    compare_with_everything(*case)


def compare_with_everything(policy: PolicySet, invariant: Invariant, names: list[str]) -> None:
    (proof,) = prove(policy, [invariant], timeout_seconds=600)

    pattern = invariant.actions[0]
    spoken = [
        one for one in TRIED_ACTIONS if one == pattern or (pattern.endswith("*") and one.startswith(pattern[:-1]))
    ]
    outcomes = {tried for action in spoken for tried in tried_outcomes(policy, invariant, action, names)}
    expected = ProofVerdict.REFUTED if True in outcomes else ProofVerdict.PROVED if outcomes else ProofVerdict.VACUOUS
    assert proof.verdict is expected


def tried_outcomes(policy: PolicySet, invariant: Invariant, action: str, names: list[str]) -> set[bool]:
    """Whether the invariant is broken, for all requests that it speaks about."""
    plan = policy.plan_for(action)
    shown = {name for rule in (plan.requiring if plan else ()) if rule.display for name in rule.display.attributes()}
    needed = {name for name, _ in (plan.needed if plan else ())} | needed_attributes(invariant.when) | shown
    holds = None if invariant.when is None else compile_condition(invariant.when)
    declared = policy.document.attributes
    found: set[bool] = set()
    for request, now in requests(action, names):
        given_names = request.attributes.keys()
        if not needed <= given_names or any(
            not value_fits(declared[name], request.attributes[name]) for name in needed
        ):
            continue
        # Values of attributes that nothing looks at must be as declared too, or evaluation denies for that reason.
        if any(name in declared and not value_fits(declared[name], request.attributes[name]) for name in given_names):
            continue
        if holds is None or holds(request.attributes, now):
            found.add(violation(invariant, evaluate(policy, request, now), policy.order) is not None)
    return found


def test_the_catalogue_keeps_what_it_promises() -> None:
    catalogue = compile_path(Path(__file__).parents[3] / "policies" / "catalog")
    assert all(proof.verdict is ProofVerdict.PROVED for proof in prove(catalogue.policy, catalogue.invariants))
