"""The ways in which one side of an encoding is weaker than the other, each as a formula.

Every formula here is the symbolic twin of what `strength.compare` says about two decisions, under the same name.
"""

from collections.abc import Callable

from keyrung_policies.analysis.encoding import Side
from keyrung_policies.analysis.solver import FALSE, Formula, every, negate, some
from keyrung_policies.analysis.strength import accepts_only, outcome_change
from keyrung_policies.model import BINDINGS, Require


def weakenings(base: Side, head: Side) -> dict[str, Formula]:
    """Return for each respect in which a head decision can be weaker that it is."""
    both = [base.steps_up, head.steps_up]
    return {
        outcome_change("deny", "allow"): every([base.denies, head.allows]),
        outcome_change("deny", "step_up"): every([base.denies, head.steps_up]),
        outcome_change("step_up", "allow"): every([base.steps_up, head.allows]),
        **{name: every([*both, gained(base, head)]) for name, gained in _GAINED.items()},
    }


def strengthenings(base: Side, head: Side) -> dict[str, Formula]:
    """Return for each respect in which a head decision can be stronger that it is."""
    both = [base.steps_up, head.steps_up]
    return {
        outcome_change("allow", "deny"): every([base.allows, head.denies]),
        outcome_change("step_up", "deny"): every([base.steps_up, head.denies]),
        outcome_change("allow", "step_up"): every([base.allows, head.steps_up]),
        **{name: every([*both, gained(head, base)]) for name, gained in _GAINED.items()},
    }


def _level(base: Side, head: Side) -> Formula:
    base_acrs = frozenset(level.acr for level in base.policy.document.levels.values())
    gained = [
        every([base.levels[low], head.levels[high]])
        for low in base.levels
        for high in head.levels
        if not accepts_only(head.policy.views[high], base.policy.views[low], base_acrs)
    ]
    return some(gained)


def _max_age(base: Side, head: Side) -> Formula:
    return _larger(base, head, lambda require: require.max_age_seconds)


def _larger(base: Side, head: Side, field: Callable[[Require], int | None]) -> Formula:
    """Return that the smallest value any matching base rule gives is below what every matching head rule gives."""

    def at_most(side: Side, limit: int) -> Formula:
        return side.demands(lambda require: (value := field(require)) is not None and value <= limit)

    limits = base.demanded(field)
    return some([every([at_most(base, limit), negate(at_most(head, limit))]) for limit in limits])


def _bind(base: Side, head: Side) -> Formula:
    return some([every([_binds(base, binding), negate(_binds(head, binding))]) for binding in BINDINGS])


def _binds(side: Side, binding: str) -> Formula:
    return side.demands(lambda require: binding in require.bind)


def _single_use(base: Side, head: Side) -> Formula:
    return every([_pays_once(base), negate(_pays_once(head))])


def _pays_once(side: Side) -> Formula:
    return side.demands(lambda require: require.single_use)


def _batch(base: Side, head: Side) -> Formula:
    return every([negate(_pays_once(base)), some([_larger(base, head, _count), _larger(base, head, _within)])])


def _count(require: Require) -> int | None:
    # A rule that asks for single use lets through less than any batch does.
    return 1 if require.single_use else None if require.batch is None else require.batch.count


def _within(require: Require) -> int | None:
    return 0 if require.single_use else None if require.batch is None else require.batch.within_seconds


_GAINED: dict[str, Callable[[Side, Side], Formula]] = {
    "level": _level,
    "max-age": _max_age,
    "bind": _bind,
    "single-use": _single_use,
    "batch": _batch,
}


def shown_otherwise(base: Side, head: Side) -> Formula:
    """Return that both sides ask for a step-up and show another text to approve."""
    before, after = _texts(base), _texts(head)
    if before.keys() == after.keys() == {None}:
        return FALSE
    pairs = [
        every([base.steps_up, head.steps_up, before[one], after[other]])
        for one in before
        for other in after
        if one != other
    ]
    return some(pairs)


def _texts(side: Side) -> dict[str | None, Formula]:
    """Return for each text, None included, that it is the one shown."""
    chosen: dict[str | None, list[Formula]] = {}
    for rule_id, formula in side.shown.items():
        then = side.rule(rule_id).then
        if isinstance(then, Require):
            chosen.setdefault(then.display, []).append(formula)
    shown: dict[str | None, Formula] = {text: some(formulas) for text, formulas in chosen.items()}
    shown[None] = negate(some(list(side.shown.values())))
    return shown
