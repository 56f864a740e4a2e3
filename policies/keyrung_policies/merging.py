"""What several rules require together: the least level above all, the smallest age, every binding, the fewest uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keyrung_policies.levels import LevelOrder
from keyrung_policies.model import BINDINGS, Batch, Document, Require, Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelView:
    """What satisfies a level: itself first, then everything above it."""

    acr_values: tuple[str, ...]
    any_of: tuple[tuple[str, ...], ...]


def level_views(document: Document, order: LevelOrder) -> dict[str, LevelView]:
    """Return for each level what satisfies it."""
    return {name: _view(name, document, order) for name in document.levels}


def merged_requirement(demands: Sequence[Require], *, order: LevelOrder, views: Mapping[str, LevelView]) -> Requirement:
    """Return the one requirement that meets every demand, without a text to show."""
    level = order.join(tuple([demand.level for demand in demands]))
    view = views[level]
    bound = {binding for demand in demands for binding in demand.bind}
    single_use = any([demand.single_use for demand in demands])
    return Requirement(
        level=level,
        acr=view.acr_values[0],
        acr_values=view.acr_values,
        any_of=view.any_of,
        max_age_seconds=min([demand.max_age_seconds for demand in demands]),
        bind=tuple([binding for binding in BINDINGS if binding in bound]),
        display=None,
        single_use=single_use,
        batch=None if single_use else _smallest_batch(demands),
    )


def _smallest_batch(demands: Sequence[Require]) -> Batch | None:
    """Return the batch that no demand finds too large."""
    batches = [demand.batch for demand in demands if demand.batch is not None]
    if not batches:
        return None
    return Batch(
        count=min([batch.count for batch in batches]),
        within_seconds=min([batch.within_seconds for batch in batches]),
    )


def _view(name: str, document: Document, order: LevelOrder) -> LevelView:
    reachable = order.at_or_above[name]
    alternatives = dict.fromkeys(combination for other in reachable for combination in document.levels[other].any_of)
    return LevelView(
        acr_values=tuple(document.levels[other].acr for other in reachable),
        any_of=tuple(alternatives),
    )
