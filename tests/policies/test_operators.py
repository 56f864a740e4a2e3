"""Operators: what each means, at its edges."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.model import (
    All,
    Any,
    BooleanAttribute,
    Cidr,
    Condition,
    EnumAttribute,
    Equals,
    Glob,
    IntegerAttribute,
    IpAttribute,
    Not,
    OneOf,
    Ordered,
    Ordering,
    TextAttribute,
    TimeWindow,
    Value,
)
from keyrung_policies.operators import compile_condition, glob_matches, needed_attributes
from keyrung_policies.values import value_fits

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NAME = "resource.x"


def holds(condition: Condition, value: Value = 0, now: datetime = NOON) -> bool:
    return compile_condition(condition)({NAME: value}, now)


@pytest.mark.parametrize(
    ("ordering", "results"),
    [
        ("gt", (False, False, True)),
        ("gte", (False, True, True)),
        ("lt", (True, False, False)),
        ("lte", (True, True, False)),
    ],
)
def test_ordering_at_its_bound(ordering: Ordering, results: tuple[bool, ...]) -> None:
    condition = Ordered(attribute=NAME, ordering=ordering, bound=5)
    assert tuple(holds(condition, value) for value in (4, 5, 6)) == results


def test_equality_and_membership_are_exact() -> None:
    assert holds(Equals(attribute=NAME, value="a"), "a")
    assert not holds(Equals(attribute=NAME, value="a"), "A")
    assert holds(OneOf(attribute=NAME, values=("a", "b")), "b")
    assert not holds(OneOf(attribute=NAME, values=("a", "b")), "ab")


def test_combinations() -> None:
    low = Ordered(attribute=NAME, ordering="lt", bound=3)
    high = Ordered(attribute=NAME, ordering="gt", bound=7)
    assert [holds(Any(parts=(low, high)), value) for value in (1, 5, 9)] == [True, False, True]
    assert [holds(All(parts=(Not(part=low), Not(part=high))), value) for value in (1, 5, 9)] == [False, True, False]
    assert needed_attributes(Any(parts=(low, Not(part=high)))) == {NAME}


@settings(deadline=None)
@given(st.text("ab*", min_size=1, max_size=8), st.text("ab", max_size=10))
def test_glob_agrees_with_a_regular_expression(pattern: str, text: str) -> None:
    expression = ".*".join(re.escape(piece) for piece in pattern.split("*"))
    assert glob_matches(tuple(pattern.split("*")), text) == (re.fullmatch(expression, text) is not None)


def test_glob_takes_every_other_character_literally() -> None:
    assert holds(Glob(attribute=NAME, pattern="a?[b]*"), "a?[b]c\nd")
    assert not holds(Glob(attribute=NAME, pattern="a?"), "ab")


def test_glob_against_a_hostile_text_is_quick() -> None:
    assert not glob_matches(("", *["a"] * 200, "b"), "a" * 4096)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
    ],
)
def test_cidr_includes_addresses_written_as_ipv6(address: str, inside: bool) -> None:
    condition = Cidr(attribute=NAME, networks=("10.0.0.0/8", "2001:db8::/32"))
    assert holds(condition, address) == inside


@pytest.mark.parametrize(
    ("moment", "by_day", "by_night"),
    [
        ("07:59", False, True),
        ("08:00", True, False),
        ("17:59", True, False),
        ("18:00", False, True),
        ("00:00", False, True),
    ],
)
def test_time_window_takes_its_start_and_leaves_its_end(moment: str, by_day: bool, by_night: bool) -> None:
    now = datetime.fromisoformat(f"2026-11-25T{moment}:30+00:00")
    assert holds(TimeWindow(start_minute=480, end_minute=1080), now=now) == by_day
    assert holds(TimeWindow(start_minute=1080, end_minute=480), now=now) == by_night


def test_time_window_is_in_utc_whatever_zone_the_clock_has() -> None:
    now = datetime(2026, 11, 25, 23, 0, tzinfo=timezone(timedelta(hours=9)))
    assert holds(TimeWindow(start_minute=14 * 60, end_minute=15 * 60), now=now)


@pytest.mark.parametrize(
    ("attribute", "good", "bad"),
    [
        (BooleanAttribute(audit="omit"), [True, False], [1, 0, "true", None]),
        (IntegerAttribute(audit="omit", min=0, max=9), [0, 9], [-1, 10, True, "5", 5.0]),
        (TextAttribute(audit="omit", max_length=2), ["", "ab", "\U0001f600"], ["abc", 1, b"a"]),
        (EnumAttribute(audit="omit", values=("a", "b")), ["a"], ["A", "c", "", ["a"], None]),
        (
            IpAttribute(audit="omit"),
            ["10.0.0.1", "::1"],
            ["10.0.0", "10.0.0.01", "fe80::1%eth0", "", 167772161, " ::1"],
        ),
    ],
)
def test_value_must_be_of_the_declared_kind_exactly(
    attribute: TextAttribute, good: list[object], bad: list[object]
) -> None:
    assert [value_fits(attribute, value) for value in good] == [True] * len(good)
    assert [value_fits(attribute, value) for value in bad] == [False] * len(bad)
