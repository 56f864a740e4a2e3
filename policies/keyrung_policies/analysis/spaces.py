"""An attribute as the solver sees it: an unknown over the few values that can make a difference.

A value makes a difference by being missing, by being outside a declaration, and by how it answers the tests that rules
make. Values that agree in all of that are one class with one witness, which goes into reports as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from keyrung_policies.analysis.addresses import address_classes
from keyrung_policies.analysis.solver import Formula, Model, among, number, value_of
from keyrung_policies.analysis.texts import text_classes
from keyrung_policies.cases import DEFAULT_MOMENT
from keyrung_policies.model import (
    MAX_INTEGER,
    Attribute,
    AttributeTest,
    Cidr,
    EnumAttribute,
    Equals,
    Glob,
    IntegerAttribute,
    IpAttribute,
    OneOf,
    Ordered,
    TextAttribute,
    Value,
)
from keyrung_policies.operators import compile_condition
from keyrung_policies.values import compile_check


class Space(Protocol):
    """All values of one attribute, the missing one included."""

    @property
    def facts(self) -> list[Formula]:
        """What holds for every request."""
        ...

    @property
    def missing(self) -> Formula:
        """That the request lacks the attribute."""
        ...

    def accepted(self, side: int) -> Formula:
        """That the attribute is missing, or has a value which the declaration of this side admits."""
        ...

    def holds(self, test: AttributeTest) -> Formula:
        """That the value passes a test."""
        ...

    def value(self, model: Model) -> Value | None:
        """Return the value in a model, or None for a missing one."""
        ...

    def samples(self) -> Sequence[Value]:
        """Return values to try when a witness is made simpler, the plainest first."""
        ...


@dataclass(frozen=True, kw_only=True)
class ClassSpace:
    """Values that are single things: text, integers, booleans, enums, addresses.

    ``declared`` has for each side the declaration, or None where the side ignores the attribute.
    """

    name: str
    declared: tuple[Attribute | None, ...]
    tests: tuple[AttributeTest, ...]

    @property
    def facts(self) -> list[Formula]:
        """See `Space.facts`."""
        return [self._unknown >= 0, self._unknown <= len(self._values)]

    @property
    def missing(self) -> Formula:
        """See `Space.missing`."""
        return self._unknown == len(self._values)

    def accepted(self, side: int) -> Formula:
        """See `Space.accepted`."""
        kept = [index for index, (accepted, _) in enumerate(self._signatures) if accepted[side]]
        return among(self._unknown, [*kept, len(self._values)], len(self._values) + 1)

    def holds(self, test: AttributeTest) -> Formula:
        """See `Space.holds`."""
        bit = 1 << self._positions[test]
        passing = [index for index, (_, passed) in enumerate(self._signatures) if passed & bit]
        return among(self._unknown, passing, len(self._values) + 1)

    def value(self, model: Model) -> Value | None:
        """See `Space.value`."""
        index = value_of(model, self._unknown)
        return self._values[index] if index < len(self._values) else None

    def samples(self) -> Sequence[Value]:
        """See `Space.samples`."""
        return self._values

    @cached_property
    def _unknown(self) -> Formula:
        return number(self.name)

    @cached_property
    def _positions(self) -> dict[AttributeTest, int]:
        return {test: position for position, test in enumerate(self.tests)}

    @property
    def _values(self) -> tuple[Value, ...]:
        return self._classes[0]

    @property
    def _signatures(self) -> tuple[tuple[tuple[bool, ...], int], ...]:
        return self._classes[1]

    @cached_property
    def _classes(self) -> tuple[tuple[Value, ...], tuple[tuple[tuple[bool, ...], int], ...]]:
        checks = [_admits_all if attribute is None else compile_check(attribute) for attribute in self.declared]
        predicates = [compile_condition(test) for test in self.tests]
        witness: dict[tuple[tuple[bool, ...], int], Value] = {}
        for value in _candidates(self.declared, self.tests):
            accepted = tuple(check(value) for check in checks)
            passed = 0
            # No rule makes a test on a side that does not admit the value.
            if any(admitted for admitted, attribute in zip(accepted, self.declared, strict=True) if attribute):
                attributes = {self.name: value}
                passed = sum(1 << bit for bit, holds in enumerate(predicates) if holds(attributes, DEFAULT_MOMENT))
            witness.setdefault((accepted, passed), value)
        return tuple(witness.values()), tuple(witness)


def _admits_all(_value: object) -> bool:
    return True


def _candidates(declared: Sequence[Attribute | None], tests: Sequence[AttributeTest]) -> list[Value]:
    """Return values among which every class of values is found, plain ones first."""
    found: list[Value] = list(_texts(declared, tests))
    found += _integers(declared, tests)
    # Of a type that is no declared one, whichever those are: values that are outside every declaration.
    return [*found, True, False, 0, ""]


def _texts(declared: Sequence[Attribute | None], tests: Sequence[AttributeTest]) -> list[str]:
    listed = [value for attribute in declared if isinstance(attribute, EnumAttribute) for value in attribute.values]
    limits = sorted({attribute.max_length for attribute in declared if isinstance(attribute, TextAttribute)})
    found = list(dict.fromkeys(listed))
    if limits:
        named = [value for test in tests for value in _operands(test) if isinstance(value, str)]
        patterns = {test.pattern for test in tests if isinstance(test, Glob)}
        exact = {pattern for pattern in patterns if "*" not in pattern}
        found += text_classes(frozenset([*listed, *named, *exact]), frozenset(patterns - exact), tuple(limits))
    if any(isinstance(attribute, IpAttribute) for attribute in declared):
        found += address_classes(frozenset(net for test in tests if isinstance(test, Cidr) for net in test.networks))
    return found


def _integers(declared: Sequence[Attribute | None], tests: Sequence[AttributeTest]) -> list[int]:
    bounds = {
        bound
        for attribute in declared
        if isinstance(attribute, IntegerAttribute)
        for bound in (attribute.min, attribute.max)
    }
    if not bounds:
        return []
    bounds |= {test.bound for test in tests if isinstance(test, Ordered)}
    bounds |= {value for test in tests for value in _operands(test) if type(value) is int}
    near = {bound + step for bound in bounds for step in (-1, 0, 1)}
    return sorted((value for value in near if abs(value) <= MAX_INTEGER), key=lambda value: (value < 0, abs(value)))


def _operands(test: AttributeTest) -> tuple[Value, ...]:
    match test:
        case Equals(value=value):
            return (value,)
        case OneOf(values=values):
            return values
        case _:
            return ()
