"""Which operator fits which attribute, and how an operator is computed.

One module for both, because they are two halves of an operator's meaning: what passes `find_test_problem` is
exactly what `compile_condition` can compute without a type error. The same check serves the author
(with a place in a file) and the loader of a bundle (without one).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

from keyrung_policies.errors import Problem
from keyrung_policies.model import (
    All,
    Any,
    Attribute,
    AttributeTest,
    BooleanAttribute,
    Cidr,
    Condition,
    EnumAttribute,
    Equals,
    Glob,
    Has,
    IntegerAttribute,
    IpAttribute,
    Not,
    OneOf,
    Ordered,
    Ordering,
    SetAttribute,
    TextAttribute,
    TimeWindow,
    Value,
)
from keyrung_policies.values import Check, compile_check, compile_item_check, describe, parse_address, parse_network

Attributes: TypeAlias = Mapping[str, Value]
Predicate: TypeAlias = Callable[[Attributes, datetime], bool]

MINUTES_PER_HOUR = 60

# Operator -> attribute types it is defined for.
OPERANDS: dict[type[AttributeTest], tuple[type[Attribute], ...]] = {
    Equals: (TextAttribute, IntegerAttribute, BooleanAttribute, EnumAttribute),
    OneOf: (TextAttribute, IntegerAttribute, EnumAttribute),
    Ordered: (IntegerAttribute,),
    Glob: (TextAttribute,),
    Cidr: (IpAttribute,),
    Has: (SetAttribute,),
}
TYPE_NAMES: dict[type[Attribute], str] = {
    TextAttribute: "text",
    IntegerAttribute: "integer",
    BooleanAttribute: "boolean",
    EnumAttribute: "enum",
    IpAttribute: "ip",
    SetAttribute: "set",
}
# Written out, because a comparison inside the closure costs half of one through the `operator` module; that the value
# is an integer was checked before.
ORDERINGS_COMPILED: dict[Ordering, Callable[[str, int], Predicate]] = {
    "gt": lambda name, bound: lambda attributes, _now: attributes[name] > bound,  # type: ignore[operator]
    "gte": lambda name, bound: lambda attributes, _now: attributes[name] >= bound,  # type: ignore[operator]
    "lt": lambda name, bound: lambda attributes, _now: attributes[name] < bound,  # type: ignore[operator]
    "lte": lambda name, bound: lambda attributes, _now: attributes[name] <= bound,  # type: ignore[operator]
}


def find_test_problem(test: AttributeTest, attributes: Mapping[str, Attribute]) -> Problem | None:
    """Return why a test cannot be made on its attribute, or None."""
    attribute = attributes.get(test.attribute)
    if attribute is None:
        return Problem(
            id="undeclared-attribute",
            sentence=f"the attribute {test.attribute} is not declared",
            fix="declare it under `attributes` or correct the name",
        )
    if type(attribute) not in OPERANDS[type(test)]:
        allowed = ", ".join(TYPE_NAMES[kind] for kind in OPERANDS[type(test)])
        own = TYPE_NAMES[type(attribute)]
        return Problem(
            id="operator-type",
            sentence=f"`{_operator_name(test)}` does not apply to {test.attribute}, which is of type {own}",
            fix=f"use it with {allowed} attributes only",
        )
    return _operand_problem(test, attribute)


def _operator_name(test: AttributeTest) -> str:
    match test:
        case Ordered(ordering=ordering):
            return ordering
        case Equals():
            return "eq"
        case OneOf():
            return "in"
        case Glob():
            return "glob"
        case Cidr():
            return "cidr"
        case Has():
            return "has"


def _operand_problem(test: AttributeTest, attribute: Attribute) -> Problem | None:
    if isinstance(test, Cidr):
        return next((_network_problem(text) for text in test.networks if parse_network(text) is None), None)
    if isinstance(test, Glob):
        return None
    if all(map(_operand_check(test, attribute), _operands(test))):
        return None
    return Problem(
        id="value-mismatch",
        sentence=f"{test.attribute} can never have this value",
        fix=f"write {describe(attribute)}",
    )


def _operands(test: Equals | OneOf | Ordered | Has) -> tuple[object, ...]:
    match test:
        case Equals(value=value) | Has(value=value):
            return (value,)
        case OneOf(values=values):
            return values
        case Ordered(bound=bound):
            return (bound,)


def _operand_check(test: AttributeTest, attribute: Attribute) -> Check:
    if isinstance(test, Has) and isinstance(attribute, SetAttribute):
        return compile_item_check(attribute)
    return compile_check(attribute)


def _network_problem(text: str) -> Problem:
    return Problem(
        id="bad-cidr",
        sentence=f"{text!r} is not a network in canonical form",
        fix="write it like 10.0.0.0/8 or 2001:db8::/32, with no bits set after the prefix",
    )


def glob_matches(pieces: tuple[str, ...], text: str) -> bool:
    """Return whether a text fits a pattern that was split at its stars; never backtracks."""
    if len(pieces) == 1:
        return text == pieces[0]
    first, *middle, last = pieces
    if not text.startswith(first):
        return False
    position = len(first)
    for piece in middle:
        # The leftmost fit leaves most room for the rest, so no other choice needs to be tried.
        found = text.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(text) - position >= len(last) and text.endswith(last)


def needed_attributes(condition: Condition | None) -> frozenset[str]:
    """Return the attributes a condition names."""
    match condition:
        case None | TimeWindow():
            return frozenset()
        case All(parts=parts) | Any(parts=parts):
            return frozenset().union(*(needed_attributes(part) for part in parts))
        case Not(part=part):
            return needed_attributes(part)
        case _:
            return frozenset((condition.attribute,))


def condition_tests(condition: Condition | None) -> list[AttributeTest]:
    """Return all attribute tests inside a condition."""
    match condition:
        case None | TimeWindow():
            return []
        case All(parts=parts) | Any(parts=parts):
            return [test for part in parts for test in condition_tests(part)]
        case Not(part=part):
            return condition_tests(part)
        case _:
            return [condition]


def compile_condition(condition: Condition) -> Predicate:
    """Return a function that computes the condition for attributes that are present and of the right type."""
    match condition:
        case All(parts=parts):
            return _compile_all(tuple(compile_condition(part) for part in parts))
        case Any(parts=parts):
            return _compile_any(tuple(compile_condition(part) for part in parts))
        case Not(part=part):
            inner = compile_condition(part)
            return lambda attributes, now: not inner(attributes, now)
        case TimeWindow():
            return _compile_window(condition)
        case _:
            return _compile_test(condition)


def _compile_all(parts: tuple[Predicate, ...]) -> Predicate:
    if len(parts) == 2:  # noqa: PLR2004 - by far the most common number
        first, second = parts
        return lambda attributes, now: first(attributes, now) and second(attributes, now)

    # A loop, because a generator costs more than the few tests it would run.
    def every(attributes: Attributes, now: datetime) -> bool:
        for part in parts:  # noqa: SIM110
            if not part(attributes, now):
                return False
        return True

    return every


def _compile_any(parts: tuple[Predicate, ...]) -> Predicate:
    def some(attributes: Attributes, now: datetime) -> bool:
        for part in parts:  # noqa: SIM110
            if part(attributes, now):
                return True
        return False

    return some


def _compile_test(test: AttributeTest) -> Predicate:
    name = test.attribute
    match test:
        case Equals(value=value):
            return lambda attributes, _now: attributes[name] == value
        case OneOf(values=values):
            members = frozenset(values)
            return lambda attributes, _now: attributes[name] in members
        case Ordered(ordering=ordering, bound=bound):
            return ORDERINGS_COMPILED[ordering](name, bound)
        case Has(value=value):
            return lambda attributes, _now: value in attributes[name]  # type: ignore[operator] # checked before
        case Glob(pattern=pattern):
            pieces = tuple(pattern.split("*"))
            return lambda attributes, _now: glob_matches(pieces, attributes[name])  # type: ignore[arg-type] # checked before
        case Cidr(networks=texts):
            networks = tuple(network for text in texts if (network := parse_network(text)) is not None)
            return lambda attributes, _now: _inside(networks, attributes[name])


def _inside(networks: tuple[IPv4Network | IPv6Network, ...], value: Value) -> bool:
    address = parse_address(str(value))
    return address is not None and any(address in network for network in networks)


def _compile_window(window: TimeWindow) -> Predicate:
    start, end = window.start_minute, window.end_minute

    def inside(_attributes: Attributes, now: datetime) -> bool:
        utc = now.astimezone(UTC)
        minute = utc.hour * MINUTES_PER_HOUR + utc.minute
        return start <= minute < end if start < end else minute >= start or minute < end

    return inside
