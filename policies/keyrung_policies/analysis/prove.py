"""Invariants proved for every possible request, or refuted by a request on which the real evaluator breaks them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keyrung_policies.analysis.actions import action_classes, covers
from keyrung_policies.analysis.encoding import Encoding, Side, encode
from keyrung_policies.analysis.errors import AnalysisLimitError, WitnessError
from keyrung_policies.analysis.solver import (
    Deadline,
    Formula,
    Questions,
    UndecidedError,
    deadline,
    every,
    exclusive,
    negate,
    some,
)
from keyrung_policies.analysis.witness import Moment, simplest, without
from keyrung_policies.evaluate import evaluate
from keyrung_policies.invariants import Floor, Invariant, violation
from keyrung_policies.model import Decision, Request
from keyrung_policies.operators import compile_condition
from keyrung_policies.policy_set import PolicySet

DEFAULT_TIMEOUT_SECONDS = 60.0


class ProofVerdict(StrEnum):
    """What is known about an invariant; what is not decided counts as refuted."""

    PROVED = "proved"
    REFUTED = "refuted"
    VACUOUS = "vacuous"
    UNDECIDED = "not decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """A request that breaks an invariant, what it gets, and how that breaks it in words."""

    request: Request
    now: datetime
    decision: Decision
    violation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is known about one invariant; vacuous means that it speaks about no request at all."""

    invariant: Invariant
    verdict: ProofVerdict
    counterexample: Counterexample | None = None
    undecided: str | None = None


def prove(
    policy: PolicySet,
    invariants: Sequence[Invariant],
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Proof, ...]:
    """Return for each invariant whether every possible request keeps it.

    What is not decided within ``timeout_seconds`` (all of them together) is reported as not decided.
    """
    until = deadline(timeout_seconds, clock)
    patterns = {pattern for rule in policy.document.rules.values() for pattern in rule.actions}
    with exclusive():
        return tuple(_prove(policy, patterns, invariant, until) for invariant in invariants)


def _prove(policy: PolicySet, patterns: set[str], invariant: Invariant, until: Deadline) -> Proof:
    classes = action_classes(patterns.union(invariant.actions))
    spoken = [one for one in classes if any(covers(pattern, one.example) for pattern in invariant.actions)]
    is_vacuous = True
    try:
        for action in spoken:
            encoding = encode(action.example, (policy,), beside=(invariant.when,))
            side = Side(encoding=encoding, policy=policy, index=0)
            concerned = every([side.well_formed, encoding.complete, encoding.condition(invariant.when)])
            questions = Questions([*encoding.facts, concerned], until)
            model = questions.find(_broken(invariant, side))
            if model is not None:
                example = _counterexample(policy, invariant, encoding, encoding.request(model))
                return Proof(invariant=invariant, verdict=ProofVerdict.REFUTED, counterexample=example)
            is_vacuous = is_vacuous and questions.find(every([])) is None
    except UndecidedError:
        return Proof(invariant=invariant, verdict=ProofVerdict.UNDECIDED, undecided="the time was over first")
    except AnalysisLimitError as error:
        return Proof(invariant=invariant, verdict=ProofVerdict.UNDECIDED, undecided=str(error))
    return Proof(invariant=invariant, verdict=ProofVerdict.VACUOUS if is_vacuous else ProofVerdict.PROVED)


def _broken(invariant: Invariant, side: Side) -> Formula:
    """Return that the decision on a request is not what the invariant promises; the twin of `violation`."""
    outcomes = {"allow": side.allows, "step_up": side.steps_up, "deny": side.denies}
    wrong = [formula for outcome, formula in outcomes.items() if outcome not in invariant.outcomes]
    if invariant.floor is not None:
        wrong.append(every([side.steps_up, some(_shortfalls(invariant.floor, side))]))
    return some(wrong)


def _shortfalls(floor: Floor, side: Side) -> list[Formula]:
    enough = side.policy.order.at_or_above[floor.level]
    found = [formula for level, formula in side.levels.items() if level not in enough]
    limit = floor.max_age_seconds
    if limit is not None:
        found.append(negate(side.demands(lambda require: require.max_age_seconds <= limit)))
    found += [negate(side.demands(lambda require, part=part: part in require.bind)) for part in floor.bind]  # type: ignore[misc]
    if floor.single_use:
        found.append(negate(side.demands(lambda require: require.single_use)))
    return found


def _counterexample(policy: PolicySet, invariant: Invariant, encoding: Encoding, witness: Moment) -> Counterexample:
    holds = None if invariant.when is None else compile_condition(invariant.when)

    def judge(moment: Moment) -> tuple[Decision, str | None]:
        request, now = moment
        decision = evaluate(policy, request, now)
        try:
            is_concerned = holds is None or holds(request.attributes, now)
        except KeyError:
            is_concerned = False
        return decision, violation(invariant, decision, policy.order) if is_concerned else None

    decision, broken = judge(witness)
    if broken is None:
        raise WitnessError
    plain = simplest(encoding, witness, judge, lambda one: one[1] == broken)
    plain = without(plain, list(encoding.spaces), judge, lambda one: one == judge(plain))
    decision, broken = judge(plain)
    return Counterexample(request=plain[0], now=plain[1], decision=decision, violation=broken or "")
