"""What a policy says and hardly means: rules, levels and actions that can never matter, and texts that look secret.

Each lint is decided for every possible request, like an invariant. `LINTS` lists them; the documentation of this folder
shows each with its id.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import msgspec

from keyrung_policies.analysis.actions import ActionClass, action_classes
from keyrung_policies.analysis.aspects import shown_otherwise, strengthenings, weakenings
from keyrung_policies.analysis.encoding import Side, encode, rules_of
from keyrung_policies.analysis.errors import AnalysisLimitError
from keyrung_policies.analysis.solver import Deadline, Questions, UndecidedError, deadline, every, exclusive, some
from keyrung_policies.compile import Compiled
from keyrung_policies.errors import Place, Problem, SourceError
from keyrung_policies.levels import unmet_levels

DEFAULT_TIMEOUT_SECONDS = 60.0

# Lint -> what it finds.
LINTS = MappingProxyType(
    {
        "dead-rule": "A rule whose condition holds for no request of its actions.",
        "shadowed-rule": "A rule without which every request would get the same answer.",
        "unreachable-level": "A level that no request is asked for, and that is above none which one is asked for.",
        "uncovered-action": "An action that is named, and that no rule can match.",
        "level-unmet": "A level that no factor of the verifier reaches.",
        "secret-text": "A text that looks like a password, a key or a token.",
        "not-decided": "A lint that could not be decided in time.",
    }
)
# Forms that real secrets have; the first group of the last one must look random as well.
_SECRET_FORMS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}"),
    re.compile(r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}"),
    re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"),
    re.compile(r"(?i)\b(password|passwd|secret|api[_-]?key|token|pin)\s*[=:]\s*\S{4,}"),
    re.compile(r"(?i)otpauth://\S*secret="),
)
_LONG_WORD = re.compile(r"[A-Za-z0-9+/_=-]{32,}")


def lint(
    compiled: Compiled,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[SourceError, ...]:
    """Return what the lints find, by place; what is not decided within ``timeout_seconds`` is a finding too."""
    with exclusive():
        found = list(_Lints(compiled=compiled, until=deadline(timeout_seconds, clock)).findings())
    return tuple(sorted(found, key=lambda one: (one.file, one.line, one.column, one.id)))


@dataclass(frozen=True, kw_only=True)
class _Lints:
    compiled: Compiled
    until: Deadline

    def findings(self) -> Iterator[SourceError]:
        """Yield everything that any lint finds."""
        yield from self._secret_texts()
        yield from self._unmet_levels()
        for solved in (self._rules, self._levels, self._actions):
            try:
                yield from solved()
            except UndecidedError:
                yield self._undecided("the time was over first", "give more time with --timeout")
            except AnalysisLimitError as error:
                yield self._undecided(str(error), "split the policy")

    def _undecided(self, why: str, fix: str) -> SourceError:
        place = next(iter(self.compiled.rule_places.values()))
        return place.error(Problem(id="not-decided", sentence=f"not every lint could be decided: {why}", fix=fix))

    @cached_property
    def _sides(self) -> dict[ActionClass, Side]:
        policy = self.compiled.policy
        patterns = {pattern for rule in policy.document.rules.values() for pattern in rule.actions}
        return {action: self._side(action.example) for action in action_classes(patterns)}

    def _side(self, action: str) -> Side:
        policy = self.compiled.policy
        return Side(encoding=encode(action, (policy,)), policy=policy, index=0)

    def _rules(self) -> Iterator[SourceError]:
        matched, needed = set[str](), set[str]()
        for side in self._sides.values():
            for rule in rules_of(side.plan):
                if rule.id not in matched and self._is_possible(side, [side.matches(rule.id)]):
                    matched.add(rule.id)
                if rule.id in matched and rule.id not in needed and self._decides(side, rule.id):
                    needed.add(rule.id)
        for rule_id, place in self.compiled.rule_places.items():
            if rule_id not in matched:
                yield place.error(
                    Problem(
                        id="dead-rule",
                        sentence=f"the condition of {rule_id} holds for no request",
                        fix="mend the condition or remove the rule",
                    )
                )
            elif rule_id not in needed:
                yield place.error(
                    Problem(
                        id="shadowed-rule",
                        sentence=f"without {rule_id} every request would get the same answer",
                        fix="remove the rule, or what stands over it",
                    )
                )

    def _is_possible(self, side: Side, parts: list[object]) -> bool:
        """Return whether a request that carries all that is needed can be like this."""
        return self._questions(side).find(every(parts)) is not None

    def _questions(self, side: Side) -> Questions:
        known = self._asked.get(side.encoding.action)
        if known is None:
            known = Questions([*side.encoding.facts, side.well_formed], self.until)
            self._asked[side.encoding.action] = known
        return known

    @cached_property
    def _asked(self) -> dict[str, Questions]:
        return {}

    def _decides(self, side: Side, rule_id: str) -> bool:
        other = Side(encoding=side.encoding, policy=side.policy, index=side.index, ignored=rule_id)
        changes = [*weakenings(side, other).values(), *strengthenings(side, other).values()]
        return self._is_possible(side, [some([*changes, shown_otherwise(side, other)])])

    def _levels(self) -> Iterator[SourceError]:
        order = self.compiled.policy.order
        reached = set[str]()
        for side in self._sides.values():
            for level, asked in side.levels.items():
                if level not in reached and self._is_possible(side, [side.steps_up, asked]):
                    reached.add(level)
        good_enough = {above for level in reached for above in order.at_or_above[level]}
        for level, place in self.compiled.level_places.items():
            if level not in good_enough:
                yield place.error(
                    Problem(
                        id="unreachable-level",
                        sentence=f"no request is asked for the level {level} or one below it",
                        fix="require it in a rule or remove it",
                    )
                )

    def _actions(self) -> Iterator[SourceError]:
        for action, place in self._named_actions().items():
            side = self._side(action)
            denied = [side.matches(rule.id) for rule in side.plan.denying]
            if not self._is_possible(side, [some([side.allows, side.steps_up, *denied])]):
                yield place.error(
                    Problem(
                        id="uncovered-action",
                        sentence=f"no rule can match {action}, so every request for it is denied",
                        fix="write a rule for it, or correct its name",
                    )
                )

    def _named_actions(self) -> dict[str, Place]:
        """Return the actions that rules, invariants and cases count on; a case may well show that one is denied."""
        compiled = self.compiled
        named: dict[str, Place] = {}
        for rule_id, rule in compiled.policy.document.rules.items():
            named |= dict.fromkeys(rule.actions, compiled.rule_places[rule_id])
        for invariant in compiled.invariants:
            named |= dict.fromkeys(invariant.actions, invariant.place)
        for case in compiled.cases:
            if case.expect.outcome != "deny":
                named.setdefault(case.request.action, Place(file=case.file, line=case.line, column=1))
        return {action: place for action, place in named.items() if not action.endswith("*")}

    def _unmet_levels(self) -> Iterator[SourceError]:
        for found in unmet_levels(self.compiled.policy.document.levels):
            yield self.compiled.level_places[found.level].error(found.problem)

    def _secret_texts(self) -> Iterator[SourceError]:
        compiled = self.compiled
        document = compiled.policy.document
        whole = next(iter(compiled.rule_places.values()))
        texts = [(compiled.rule_places[name], msgspec.to_builtins(rule)) for name, rule in document.rules.items()]
        texts += [(whole, msgspec.to_builtins(attribute)) for attribute in document.attributes.values()]
        texts += [
            (Place(file=case.file, line=case.line, column=1), [case.name, *case.request.attributes.values()])
            for case in compiled.cases
        ]
        texts += [(one.place, [one.name, msgspec.to_builtins(one.when)]) for one in compiled.invariants]
        for place, value in texts:
            if any(looks_secret(text) for text in _strings(value)):
                yield place.error(
                    Problem(
                        id="secret-text",
                        sentence="a text here looks like a secret, and policies are read by many",
                        fix="remove it and replace the secret where it is used",
                    )
                )


def looks_secret(text: str) -> bool:
    """Return whether a text has the form of a password, a key or a token."""
    if any(form.search(text) for form in _SECRET_FORMS):
        return True
    return any(_looks_random(word) for word in _LONG_WORD.findall(text))


def _looks_random(word: str) -> bool:
    """Return whether a long word mixes capitals, small letters and digits as encoded random bytes do."""
    kinds = (str.isupper, str.islower, str.isdigit)
    turns = sum(first.isdigit() != second.isdigit() for first, second in pairwise(word))
    return all(any(map(kind, word)) for kind in kinds) and turns >= len(word) // 8


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
