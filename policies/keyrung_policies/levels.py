"""The partial order of levels: who is above whom, and the least level above several.

An order and not numbers, because two levels may be good for different reasons. Where rules for two levels
meet, the answer is their join; so every pair of declared levels must have one, which is checked before
any request is judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from keyrung_policies.errors import Problem
from keyrung_policies.model import SERVED_FACTORS, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelProblem:
    """A problem of the order and the level it is reported at."""

    level: str
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelOrder:
    """The closed order.

    `at_or_above` lists for each level itself and everything above it, lowest first; `rank` counts the
    levels below, so a higher level always has a higher rank.
    """

    at_or_above: Mapping[str, tuple[str, ...]]
    rank: Mapping[str, int]
    joins: Mapping[tuple[str, str], str]

    def join(self, names: tuple[str, ...]) -> str:
        """Return the least level at or above all of the named ones."""
        result = names[0]
        for name in names[1:]:
            result = self.joins[result, name]
        return result

    def joins_of(self, names: set[str]) -> set[str]:
        """Return the named levels and every join of some of them."""
        found, grown = set[str](), set(names)
        while found != grown:
            found = set(grown)
            grown |= {self.joins[pair] for pair in combinations(sorted(found), 2)}
        return found


def level_problems(levels: Mapping[str, Level]) -> list[LevelProblem]:
    """Return what keeps the levels from being an order in which every pair has a join."""
    found = _unknown_references(levels) + _shared_acrs(levels)
    lower = _lower_closure(levels)
    cycles = sorted(name for name, below in lower.items() if name in below)
    found += [
        LevelProblem(
            level=name,
            problem=Problem(
                id="level-cycle",
                sentence=f"level {name} is above itself",
                fix="remove one `above` of the circle",
            ),
        )
        for name in cycles
    ]
    return found if cycles else found + _missing_joins(lower)


def unmet_levels(levels: Mapping[str, Level]) -> list[LevelProblem]:
    """Return the levels that nobody can reach yet, of levels that have no problem."""
    met = {
        name for name, level in levels.items() if any(set(together) <= set(SERVED_FACTORS) for together in level.any_of)
    }
    return [
        LevelProblem(
            level=name,
            problem=Problem(
                id="level-unmet",
                sentence=f"no step-up reaches the level {name} yet, so a request that requires it never passes",
                fix=f"add [{'] or ['.join(SERVED_FACTORS)}] to its `any_of`",
            ),
        )
        for name, reaching in level_order(levels).at_or_above.items()
        if met.isdisjoint(reaching)
    ]


def level_order(levels: Mapping[str, Level]) -> LevelOrder:
    """Return the closed order of levels that have no problem."""
    lower = _lower_closure(levels)
    rank = {name: len(below) for name, below in lower.items()}
    upper = _upper_sets(lower)
    joins: dict[tuple[str, str], str] = {}
    for first in lower:
        for second in lower:
            least = _least(upper[first] & upper[second], upper)
            if least is not None:
                joins[first, second] = least
    return LevelOrder(
        at_or_above={name: tuple(sorted(above, key=lambda n: (rank[n], n))) for name, above in upper.items()},
        rank=rank,
        joins=joins,
    )


def _unknown_references(levels: Mapping[str, Level]) -> list[LevelProblem]:
    return [
        LevelProblem(
            level=name,
            problem=Problem(
                id="unknown-level",
                sentence=f"level {name} is above {other}, which is not declared",
                fix="declare it under `levels` or correct the name",
            ),
        )
        for name, level in sorted(levels.items())
        for other in level.above
        if other not in levels
    ]


def _shared_acrs(levels: Mapping[str, Level]) -> list[LevelProblem]:
    first_with: dict[str, str] = {}
    found: list[LevelProblem] = []
    for name, level in sorted(levels.items()):
        other = first_with.setdefault(level.acr, name)
        if other != name:
            sentence = f"levels {other} and {name} share the acr {level.acr}, so an assertion could not tell them apart"
            found.append(
                LevelProblem(
                    level=name,
                    problem=Problem(id="duplicate-acr", sentence=sentence, fix="give each level its own acr"),
                )
            )
    return found


def _missing_joins(lower: Mapping[str, set[str]]) -> list[LevelProblem]:
    upper = _upper_sets(lower)
    return [
        LevelProblem(
            level=second,
            problem=Problem(
                id="level-no-join",
                sentence=f"levels {first} and {second} have no least level above both",
                fix="declare one level above both, or put one above the other",
            ),
        )
        for first, second in combinations(sorted(lower), 2)
        if _least(upper[first] & upper[second], upper) is None
    ]


def _lower_closure(levels: Mapping[str, Level]) -> dict[str, set[str]]:
    """Return for each level all levels strictly below it; a level in a circle is below itself."""
    closure: dict[str, set[str]] = {}
    for name in levels:
        below: set[str] = set()
        pending = list(levels[name].above)
        while pending:
            other = pending.pop()
            if other in levels and other not in below:
                below.add(other)
                pending.extend(levels[other].above)
        closure[name] = below
    return closure


def _upper_sets(lower: Mapping[str, set[str]]) -> dict[str, set[str]]:
    return {name: {other for other, below in lower.items() if name == other or name in below} for name in lower}


def _least(candidates: set[str], upper: Mapping[str, set[str]]) -> str | None:
    return next((name for name in sorted(candidates) if candidates <= upper[name]), None)
