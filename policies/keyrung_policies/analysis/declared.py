"""What a changed declaration means for the actions whose rules never look at the attribute.

A declared attribute with a value outside its declaration denies every action. So a narrower declaration refuses what a
wider one let through, and the other way round, wherever anything passes at all.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import msgspec

from keyrung_policies.analysis.actions import ActionClass
from keyrung_policies.analysis.differences import DeclarationDiff, Difference
from keyrung_policies.analysis.encoding import NO_PLAN, Side, encode, relevant_attributes
from keyrung_policies.analysis.errors import AnalysisLimitError
from keyrung_policies.analysis.same import plan_key
from keyrung_policies.analysis.solver import Deadline, UndecidedError, every, find, negate
from keyrung_policies.analysis.spaces import candidates
from keyrung_policies.analysis.strength import Verdict, verdict_of
from keyrung_policies.analysis.witness import Moment
from keyrung_policies.model import Attribute, Request, Value
from keyrung_policies.operators import value_fits
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
            found.append(_declaration_diff(name, (before, after), aloof, passing, judge))
        except (UndecidedError, AnalysisLimitError):
            found.append(
                DeclarationDiff(attribute=name, verdict=Verdict.UNDECIDED, actions=tuple(aloof), differences=())
            )
    return tuple(one for one in found if one.verdict is not Verdict.EQUAL)


@dataclass(frozen=True, kw_only=True)
class _Passing:
    """One version, asked for requests that it does not deny."""

    policy: PolicySet
    until: Deadline
    known: dict[Hashable, Moment | None] = field(default_factory=dict)

    def request(self, action: str) -> Moment | None:
        """Return a request for the action that is not denied, or None when all are."""
        key = plan_key(self.policy, action)
        if key not in self.known:
            encoding = encode(action, (self.policy,))
            side = Side(encoding=encoding, policy=self.policy, index=0)
            model = find(encoding.facts, every([negate(side.denies)]), self.until)
            self.known[key] = None if model is None else encoding.request(model)
        moment = self.known[key]
        if moment is None:
            return None
        return Request(action=action, attributes=moment[0].attributes), moment[1]


def _declaration_diff(
    name: str,
    declared: tuple[Attribute | None, Attribute | None],
    actions: Sequence[ActionClass],
    passing: tuple[_Passing, _Passing],
    judge: Judge,
) -> DeclarationDiff:
    lost, gained = _examples(declared)
    reached: dict[ActionClass, None] = {}
    shown: list[Difference] = []
    for value, version in ((gained, passing[1]), (lost, passing[0])):
        if value is None:
            continue
        moments = [(action, moment) for action in actions if (moment := version.request(action.example)) is not None]
        reached |= dict.fromkeys(action for action, _ in moments)
        if moments:
            request, now = moments[0][1]
            shown.append(judge((msgspec.structs.replace(request, attributes={**request.attributes, name: value}), now)))
    return DeclarationDiff(
        attribute=name,
        verdict=verdict_of(
            weaker=any(one.comparison.weaker for one in shown), stronger=any(one.comparison.stronger for one in shown)
        ),
        actions=tuple(reached),
        differences=tuple(shown),
    )


def _examples(declared: tuple[Attribute | None, Attribute | None]) -> tuple[Value | None, Value | None]:
    """Return a value that only the first declaration admits, and one that only the second does."""
    lost = gained = None
    for value in candidates(declared, ()):
        before, after = (attribute is None or value_fits(attribute, value) for attribute in declared)
        if before and not after and lost is None:
            lost = value
        if after and not before and gained is None:
            gained = value
    return lost, gained


def _admitted(attribute: Attribute | None) -> Attribute | None:
    """Return a declaration without what the audit log keeps, which admits nothing more or less."""
    return None if attribute is None else msgspec.structs.replace(attribute, audit="omit")


def _looks_at(name: str, action: ActionClass, *policies: PolicySet) -> bool:
    return any(name in relevant_attributes(policy.plan_for(action.example) or NO_PLAN) for policy in policies)
