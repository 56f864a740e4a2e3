"""What a comparison of two policies found, as records for reports; nothing here needs the solver."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from keyrung_policies.analysis.actions import ActionClass
from keyrung_policies.analysis.strength import Comparison, Verdict, worst_of
from keyrung_policies.model import Decision, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One request on which the two versions differ, judged by the real evaluator.

    ``display`` says that both ask for a step-up, but people approve another text.
    """

    request: Request
    now: datetime
    base: Decision
    head: Decision
    comparison: Comparison
    display: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDiff:
    """All that was found for one class of actions; ``undecided`` says why the answer is not known."""

    action: ActionClass
    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    undecided: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclarationDiff:
    """An attribute whose declaration admits more or fewer values, seen at the actions whose rules do not look at it.

    A value outside a declaration denies whatever the rules say, so this reaches every action that can pass at all.
    ``difference`` is an example at the first of ``actions``; it is None where the answer is not known.
    """

    attribute: str
    verdict: Verdict
    actions: tuple[ActionClass, ...]
    difference: Difference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDiff:
    """How the second of two policies compares to the first, for every possible request."""

    base_digest: str
    head_digest: str
    actions: tuple[ActionDiff, ...]
    declarations: tuple[DeclarationDiff, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole."""
        return worst_of([*(one.verdict for one in self.actions), *(one.verdict for one in self.declarations)])

    @property
    def changed(self) -> tuple[ActionDiff, ...]:
        """The actions that are not proved the same, those that may be weaker first."""
        found = [one for one in self.actions if one.verdict is not Verdict.EQUAL or one.differences]
        return tuple(sorted(found, key=lambda one: (not one.verdict.may_be_weaker, one.verdict is Verdict.EQUAL)))

    def differences(self) -> Iterator[tuple[str, Difference]]:
        """Yield every difference with the actions or the attribute it stands at."""
        for action in self.actions:
            for difference in action.differences:
                yield action.action.title, difference
        for declaration in self.declarations:
            if declaration.difference is not None:
                yield declaration.attribute, declaration.difference
