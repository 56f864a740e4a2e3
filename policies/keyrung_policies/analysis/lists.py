"""A list-valued attribute as the solver sees it: which items it has, how long it is, whether it is a list at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from keyrung_policies.analysis.solver import (
    Formula,
    Model,
    every,
    flag,
    holds_in,
    negate,
    number,
    some,
    total,
    value_of,
)
from keyrung_policies.model import DEFAULT_TEXT_CHARS, MAX_SET_ITEMS, AttributeTest, Has, SetAttribute, Value
from keyrung_policies.values import compile_item_check

_MISSING, _NO_LIST, _LIST = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class ListSpace:
    """All values of an attribute that is a list wherever it is declared; see `Space`.

    Items that a test names are unknowns of their own. Of the others, one stands for all that the same sides admit.
    """

    name: str
    declared: tuple[SetAttribute | None, ...]
    tests: tuple[AttributeTest, ...]

    @property
    def facts(self) -> list[Formula]:
        """See `Space.facts`."""
        flags = list(self._flags.values())
        return [
            self._kind >= _MISSING,
            self._kind <= _LIST,
            # An item may stand in the list twice, so a list is at least as long as it has different items.
            self._length >= total(flags),
            self._length <= MAX_SET_ITEMS + 1,
            some([self._length == 0, *flags]),
        ]

    @property
    def missing(self) -> Formula:
        """See `Space.missing`."""
        return self._kind == _MISSING

    def accepted(self, side: int) -> Formula:
        """See `Space.accepted`."""
        declared = self.declared[side]
        if declared is None:
            return every([])
        foreign = [negate(known) for item, known in self._flags.items() if not self._items[item][side]]
        long_enough, short_enough = self._length >= declared.min_items, self._length <= declared.max_items
        return some([self.missing, every([self._kind == _LIST, long_enough, short_enough, *foreign])])

    def holds(self, test: AttributeTest) -> Formula:
        """See `Space.holds`."""
        # No other test is defined for lists.
        return self._flags[test.value] if isinstance(test, Has) else some([])

    def value(self, model: Model) -> Value | None:
        """See `Space.value`."""
        kind = value_of(model, self._kind)
        if kind != _LIST:
            return None if kind == _MISSING else ""
        items = [item for item, known in self._flags.items() if holds_in(model, known)]
        return (*items, *items[:1] * (value_of(model, self._length) - len(items)))

    def samples(self) -> Sequence[Value]:
        """See `Space.samples`."""
        return [(), *((item,) for item in self._items)]

    @cached_property
    def _kind(self) -> Formula:
        return number(f"{self.name} kind")

    @cached_property
    def _length(self) -> Formula:
        return number(f"{self.name} length")

    @cached_property
    def _flags(self) -> dict[str, Formula]:
        # By number: the solver reads a name up to its first NUL only, so items could share one.
        return {item: flag(f"{self.name} has item {position}") for position, item in enumerate(self._items)}

    @cached_property
    def _items(self) -> dict[str, tuple[bool, ...]]:
        """Return the items that can make a difference and which sides admit each."""
        checks = [_admits_all if attribute is None else compile_item_check(attribute) for attribute in self.declared]
        named = dict.fromkeys(test.value for test in self.tests if isinstance(test, Has))
        listed = [value for attribute in self.declared if attribute is not None for value in attribute.values or ()]
        items = {item: tuple(check(item) for check in checks) for item in named}
        others = set[tuple[bool, ...]]()
        for item in (*listed, _fresh({*named, *listed}), "x" * (DEFAULT_TEXT_CHARS + 1)):
            admitted = tuple(check(item) for check in checks)
            if item not in items and admitted not in others:
                others.add(admitted)
                items[item] = admitted
        return items


def _admits_all(_value: object) -> bool:
    return True


def _fresh(taken: set[str]) -> str:
    return next(word for number in range(len(taken) + 1) if (word := f"other-{number + 1}") not in taken)
