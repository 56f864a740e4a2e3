"""Two versions of a policy compared for every possible request: equal, stronger, weaker or both, with witnesses.

Each class of actions is decided by itself, with only the rules that concern it. The solver is asked where the rules of
the two versions are not the same text already; every request it names is judged by the real evaluator before it is
reported.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from keyrung_policies.analysis.actions import ActionClass, action_classes
from keyrung_policies.analysis.aspects import shown_otherwise, strengthenings, weakenings
from keyrung_policies.analysis.declared import declaration_diffs
from keyrung_policies.analysis.differences import ActionDiff, Difference, PolicyDiff
from keyrung_policies.analysis.encoding import Encoding, Side, encode
from keyrung_policies.analysis.errors import AnalysisLimitError, WitnessError
from keyrung_policies.analysis.same import plan_key
from keyrung_policies.analysis.solver import (
    Deadline,
    Formula,
    Questions,
    UndecidedError,
    deadline,
    every,
    exclusive,
    some,
)
from keyrung_policies.analysis.strength import Comparison, Verdict, compare, verdict_of
from keyrung_policies.analysis.witness import Moment, simplest, without
from keyrung_policies.bundle import policy_digest
from keyrung_policies.evaluate import evaluate
from keyrung_policies.model import Decision
from keyrung_policies.policy_set import PolicySet

DEFAULT_TIMEOUT_SECONDS = 60.0
OUT_OF_TIME = "the time was over first"


def diff(
    base: PolicySet,
    head: PolicySet,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> PolicyDiff:
    """Return how ``head`` compares to ``base``.

    What is not decided within ``timeout_seconds`` (the whole comparison) is reported as not decided.
    """
    pair = Pair(base=base, head=head, until=deadline(timeout_seconds, clock))
    patterns = {pattern for one in (base, head) for rule in one.document.rules.values() for pattern in rule.actions}
    classes = action_classes(patterns)
    with exclusive():
        return PolicyDiff(
            base_digest=policy_digest(base),
            head_digest=policy_digest(head),
            actions=tuple(pair.action_diff(action) for action in classes),
            declarations=declaration_diffs(base, head, classes, pair.judge, pair.until),
        )


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two versions and the time there is to compare them."""

    base: PolicySet
    head: PolicySet
    until: Deadline

    def action_diff(self, action: ActionClass) -> ActionDiff:
        """Return what is different for one class of actions."""
        key = plan_key(self.base, action.example)
        if key == plan_key(self.head, action.example):
            return ActionDiff(action=action, verdict=Verdict.EQUAL)
        try:
            differences = self._differences(action.example)
        except UndecidedError:
            return ActionDiff(action=action, verdict=Verdict.UNDECIDED, undecided=OUT_OF_TIME)
        except AnalysisLimitError as error:
            return ActionDiff(action=action, verdict=Verdict.UNDECIDED, undecided=str(error))
        verdict = verdict_of(
            weaker=any(one.comparison.weaker for one in differences),
            stronger=any(one.comparison.stronger for one in differences),
        )
        return ActionDiff(action=action, verdict=verdict, differences=tuple(differences))

    def _differences(self, action: str) -> list[Difference]:
        encoding = encode(action, (self.base, self.head))
        base, head = (Side(encoding=encoding, policy=one, index=at) for at, one in enumerate((self.base, self.head)))
        # Requests that carry everything read best; the others are looked at where only they differ.
        plain = every([base.well_formed, head.well_formed, encoding.complete])
        asking = _Asking(encoding=encoding, questions=Questions(encoding.facts, self.until), plain=plain)
        found = self._claims(asking, weakenings(base, head), lambda one: one.comparison.weaker)
        found += self._claims(asking, strengthenings(base, head), lambda one: one.comparison.stronger)
        if not any(one.display for one in found):
            other_text = self._show(asking, shown_otherwise(base, head))
            found += [] if other_text is None else [other_text]
        # A request that is weaker in one respect and stronger in another was found for both.
        return list({repr(one): one for one in found}.values())

    def _claims(
        self, asking: "_Asking", claims: dict[str, Formula], seen: Callable[[Difference], tuple[str, ...]]
    ) -> list[Difference]:
        """Return differences that show every one of the claims that can be shown."""
        found: list[Difference] = []
        still = dict(claims)
        while still and (shown := self._show(asking, some(list(still.values())))) is not None:
            named = [name for name in seen(shown) if name in still]
            if not named:
                raise WitnessError
            found.append(shown)
            for name in named:
                del still[name]
        return found

    def _show(self, asking: "_Asking", claim: Formula) -> Difference | None:
        """Return a difference of the claimed kind, or None when no request shows one."""
        model = asking.questions.find(claim, rather=asking.plain)
        return None if model is None else self.simplified(asking.encoding, asking.encoding.request(model))

    def simplified(self, encoding: Encoding, witness: Moment) -> Difference:
        """Return the difference that a request shows, as plain as it can be shown."""
        first = self.judge(witness)
        plain = simplest(encoding, witness, self.judge, lambda one: _kind(one) == _kind(first))
        decided = self.judge(plain)
        return self.judge(
            without(
                plain,
                list(encoding.spaces),
                self.judge,
                lambda one: (one.base, one.head) == (decided.base, decided.head),
            )
        )

    def judge(self, witness: Moment) -> Difference:
        """Return what the real evaluator says to a request in both versions."""
        request, now = witness
        base, head = evaluate(self.base, request, now), evaluate(self.head, request, now)
        return Difference(
            request=request,
            now=now,
            base=base,
            head=head,
            comparison=compare(base, head, base_acrs=self._acrs[0], head_acrs=self._acrs[1]),
            display=_display(base) != _display(head) and base.outcome == head.outcome,
        )

    @cached_property
    def _acrs(self) -> tuple[frozenset[str], frozenset[str]]:
        base, head = (frozenset(level.acr for level in one.document.levels.values()) for one in (self.base, self.head))
        return base, head


@dataclass(frozen=True, kw_only=True)
class _Asking:
    """One action's requests, ready to be asked about."""

    encoding: Encoding
    questions: Questions
    plain: Formula


def _display(decision: Decision) -> str | None:
    return None if decision.requirement is None else decision.requirement.display


def _kind(difference: Difference) -> tuple[str, str, Comparison]:
    return difference.base.outcome, difference.head.outcome, difference.comparison
