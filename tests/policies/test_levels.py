"""Levels: a partial order in which every pair has a least level above both."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.levels import level_order, level_problems
from keyrung_policies.model import Level


def levels(**above: tuple[str, ...]) -> dict[str, Level]:
    return {name: Level(acr=name, any_of=(("otp",),), above=lower) for name, lower in above.items()}


def problem_ids(declared: dict[str, Level]) -> list[str]:
    return [found.problem.id for found in level_problems(declared)]


def test_join_of_a_chain_is_the_higher_level() -> None:
    order = level_order(levels(a=(), b=("a",), c=("b",)))
    assert order.join(("a", "c", "b")) == "c"
    assert order.at_or_above["a"] == ("a", "b", "c")


def test_join_of_two_sides_of_a_diamond_is_its_top() -> None:
    order = level_order(levels(low=(), left=("low",), right=("low",), top=("left", "right")))
    assert order.join(("left", "right")) == "top"
    assert order.join(("left", "low")) == "left"


def test_two_minimal_levels_above_a_pair_leave_it_without_a_join() -> None:
    declared = levels(a=(), b=(), c=("a", "b"), d=("a", "b"), top=("c", "d"))
    assert problem_ids(declared) == ["level-no-join"]


def test_longer_cycle_is_found_at_each_of_its_levels() -> None:
    assert problem_ids(levels(a=("c",), b=("a",), c=("b",), d=())) == ["level-cycle"] * 3


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Level]:
    names = "abcde"[: draw(st.integers(1, 5))]
    above = {
        name: tuple(sorted(draw(st.sets(st.sampled_from(names[:index])) if index else st.just(set()))))
        for index, name in enumerate(names)
    }
    return levels(**above)


@settings(deadline=None)
@given(orders())
def test_join_is_the_least_upper_bound_wherever_levels_have_no_problem(declared: dict[str, Level]) -> None:
    if level_problems(declared):
        return
    order = level_order(declared)
    for first, second in product(declared, repeat=2):
        upper = set(order.at_or_above[first]) & set(order.at_or_above[second])
        join = order.join((first, second))
        assert join in upper
        assert upper <= set(order.at_or_above[join])
        assert order.join((second, first)) == join
