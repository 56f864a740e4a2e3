"""Conditions and requirements in the words of a reviewer."""

from collections.abc import Iterable

from keyrung_policies.model import (
    All,
    Any,
    AttributeTest,
    Cidr,
    Condition,
    Equals,
    Glob,
    Has,
    Not,
    OneOf,
    Ordered,
    Requirement,
    TimeWindow,
    Value,
)
from keyrung_policies.operators import MINUTES_PER_HOUR

SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def condition_words(condition: Condition) -> str:
    """Return a condition as a sentence part, as in `resource.amount_minor >= 100000 and subject.kind is person`."""
    match condition:
        case All(parts=parts):
            return " and ".join(_grouped(part, Any) for part in parts)
        case Any(parts=parts):
            return " or ".join(_grouped(part, All) for part in parts)
        case Not(part=part):
            return f"not ({condition_words(part)})"
        case TimeWindow(start_minute=start, end_minute=end):
            return f"the time is from {time_words(start)} to {time_words(end)} UTC"
        case _:
            return f"{condition.attribute} {_test_words(condition)}"


def _test_words(test: AttributeTest) -> str:
    match test:
        case Equals(value=value):
            return f"is {value_words(value)}"
        case OneOf(values=values):
            return f"is {listed(map(value_words, values), 'or')}"
        case Ordered(ordering=ordering, bound=bound):
            return f"{_SIGNS[ordering]} {bound}"
        case Glob(pattern=pattern):
            return f'fits "{pattern}"'
        case Cidr(networks=networks):
            return f"lies in {listed(networks, 'or')}"
        case Has(value=item):
            return f"has {item}"


def requirement_words(requirement: Requirement) -> str:
    """Return what a step-up must be, as in `phr by otp, at most 5m old, for this method, uri and body, once`."""
    ways = listed((" with ".join(together) for together in requirement.any_of), "or")
    age = "made now" if requirement.max_age_seconds == 0 else f"at most {duration(requirement.max_age_seconds)} old"
    bound = f"for this {listed(requirement.bind, 'and')}" if requirement.bind else "for any request"
    return f"{requirement.level} by {ways}, {age}, {bound}, {_uses(requirement)}"


def _uses(requirement: Requirement) -> str:
    if requirement.single_use:
        return "once"
    if requirement.batch is None:
        return "any number of times"
    return f"{requirement.batch.count} times within {duration(requirement.batch.within_seconds)}"


def duration(seconds: int) -> str:
    """Return a duration as authors write it: in hours or minutes where it is whole ones."""
    if seconds and seconds % SECONDS_PER_HOUR == 0:
        return f"{seconds // SECONDS_PER_HOUR}h"
    if seconds and seconds % SECONDS_PER_MINUTE == 0:
        return f"{seconds // SECONDS_PER_MINUTE}m"
    return f"{seconds}s"


def time_words(minute: int) -> str:
    """Return a minute of the day as authors write it, as in 08:30."""
    return f"{minute // MINUTES_PER_HOUR:02}:{minute % MINUTES_PER_HOUR:02}"


def value_words(value: Value) -> str:
    """Return a value as authors write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return str(value)


def listed(texts: Iterable[str], word: str) -> str:
    """Return texts as a list in a sentence, as in `a, b or c`."""
    *first, last = texts
    return f"{', '.join(first)} {word} {last}" if first else last


def _grouped(part: Condition, other: type[All] | type[Any]) -> str:
    return f"({condition_words(part)})" if isinstance(part, other) else condition_words(part)
