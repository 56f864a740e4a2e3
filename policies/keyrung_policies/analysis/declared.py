"""What a changed declaration means for the actions whose rules never look at the attribute.

A declared attribute with a value outside its declaration denies every action. So a narrower declaration refuses what a
wider one let through, and the other way round, wherever anything passes at all.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from keyrung_policies.analysis.actions import ActionClass
from keyrung_policies.analysis.differences import DeclarationDiff, Difference
from keyrung_policies.analysis.encoding import NO_PLAN, Side, encode, relevant_attributes, space_for
from keyrung_policies.analysis.errors import AnalysisLimitError, WitnessError
from keyrung_policies.analysis.same import plan_key
from keyrung_policies.analysis.solver import Deadline, Questions, UndecidedError, every, negate
from keyrung_policies.analysis.strength import Verdict
from keyrung_policies.analysis.witness import Moment
from keyrung_policies.model import Attribute, Request, Value
from keyrung_policies.policy_set import PolicySet

Judge = Callable[[Moment], Difference]


def declaration_diffs(
    base: PolicySet, head: PolicySet, actions: Sequence[ActionClass], judge: Judge, until: Deadline
) -> tuple[DeclarationDiff, ...]:
    """Return for each changed declaration what it means for the actions that don't look at the attribute."""
    passing = (_Passing(policy=base, until=until), _Passing(policy=head, until=until))
    found = []
    for name in sorted(base.document.attributes.keys() | head.document.attributes.keys()):
        before, after = base.document.attributes.get(name), head.document.attributes.get(name)
        if _admitted(before) == _admitted(after):
            continue
        aloof = [action for action in actions if not _looks_at(name, action, base, head)]
        try:
            lost, gained = _examples(name, (before, after), until)
            for value, verdict, version in (
                (lost, Verdict.STRONGER, passing[0]),
                (gained, Verdict.WEAKER, passing[1]),
            ):
                moments = {} if value is None else version.requests(aloof)
                if value is not None and moments:
                    found.append(_effect(name, value, verdict, moments, judge))
        except (UndecidedError, AnalysisLimitError):
            found.append(
                DeclarationDiff(attribute=name, verdict=Verdict.UNDECIDED, actions=tuple(aloof), difference=None)
            )
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Passing:
    """One version, asked for requests that it does not deny."""

    policy: PolicySet
    until: Deadline
    known: dict[Hashable, Moment | None] = field(default_factory=dict)

    def requests(self, actions: Sequence[ActionClass]) -> dict[ActionClass, Moment]:
        """Return a request that is not denied for each action that has one."""
        return {action: moment for action in actions if (moment := self._request(action.example)) is not None}

    def _request(self, action: str) -> Moment | None:
        """Return a request for the action that is not denied, or None when all are."""
        key = plan_key(self.policy, action)
        if key not in self.known:
            encoding = encode(action, (self.policy,))
            side = Side(encoding=encoding, policy=self.policy, index=0)
            model = Questions(encoding.facts, self.until).find(negate(side.denies))
            self.known[key] = None if model is None else encoding.request(model)
        moment = self.known[key]
        if moment is None:
            return None
        return Request(action=action, attributes=moment[0].attributes), moment[1]


def _effect(
    name: str, value: Value, verdict: Verdict, moments: Mapping[ActionClass, Moment], judge: Judge
) -> DeclarationDiff:
    """Return what a value means that one version alone admits, for the actions that can pass in that version."""
    request, now = next(iter(moments.values()))
    shown = judge((msgspec.structs.replace(request, attributes={**request.attributes, name: value}), now))
    if shown.comparison.verdict is not verdict:
        raise WitnessError
    return DeclarationDiff(attribute=name, verdict=verdict, actions=tuple(moments), difference=shown)


def _examples(
    name: str, declared: tuple[Attribute | None, Attribute | None], until: Deadline
) -> tuple[Value | None, Value | None]:
    """Return a value that only the first declaration admits, and one that only the second does."""
    space = space_for(name, declared)
    questions = Questions(space.facts, until)
    examples = []
    for admitting, refusing in ((0, 1), (1, 0)):
        model = questions.find(every([space.accepted(admitting), negate(space.accepted(refusing))]))
        examples.append(None if model is None else space.value(model))
    return examples[0], examples[1]


def _admitted(attribute: Attribute | None) -> Attribute | None:
    """Return a declaration without what the audit log keeps, which admits nothing more or less."""
    return None if attribute is None else msgspec.structs.replace(attribute, audit="omit")


def _looks_at(name: str, action: ActionClass, *policies: PolicySet) -> bool:
    return any(name in relevant_attributes(policy.plan_for(action.example) or NO_PLAN) for policy in policies)
