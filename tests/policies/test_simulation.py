"""Recorded requests under another policy: counted where they are known, and never guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.policies import compiled

from keyrung_policies.model import Outcome, Value
from keyrung_policies.reports.chart import chart
from keyrung_policies.reports.page import simulation_page
from keyrung_policies.simulation import NO_GROUP, Recorded, simulate

POLICY = compiled(
    """
- {id: small, actions: [pay], when: {resource.amount: {lt: 100}}, allow: true}
- id: large
  actions: [pay]
  when: {resource.amount: {gte: 100}}
  require: {level: phr, max_age: 5m}
  display: "Pay {resource.amount} at {resource.path}"
- {id: read, actions: [read], allow: true}
"""
).policy
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HASHED = f"sha-256:{'0a' * 32}"


def recorded(
    action: str = "pay",
    *,
    day: int = 0,
    outcome: Outcome = "allow",
    reason: str | None = None,
    rules: tuple[str, ...] = (),
    **attributes: Value,
) -> Recorded:
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    moment = START + timedelta(days=day)
    return Recorded(moment=moment, action=action, attributes=named, outcome=outcome, reason=reason, rule_ids=rules)


def test_more_and_fewer_step_ups_are_counted_by_day_and_by_rule() -> None:
    found = simulate(
        [
            recorded(resource__amount=150, resource__path="x", rules=("old",)),
            recorded(resource__amount=50, outcome="step_up", rules=("old",)),
            recorded(resource__amount=50, outcome="step_up", day=1, rules=("old",)),
        ],
        POLICY,
    )
    assert (found.total.before, found.total.after, found.total.change) == (2, 1, -1)
    assert [tally.change for _, tally in sorted(found.by_day.items())] == [0, -1]
    assert found.by_rule["large"].change == 1
    assert found.by_rule["old"].change == -2


@pytest.mark.parametrize("event", [recorded(), recorded(resource__amount=HASHED)], ids=["omitted", "hashed"])
def test_a_request_whose_record_lacks_what_a_rule_needs_is_undecided_at_that_rule(event: Recorded) -> None:
    found = simulate([event], POLICY)
    assert (found.total.requests, found.total.undecided, found.total.after) == (1, 1, 0)
    assert {rule_id for rule_id, tally in found.by_rule.items() if tally.undecided} == {"small", "large"}
    assert found.lacking == {"resource.amount": 1}


def test_what_is_only_shown_may_be_hashed_but_must_have_been_there() -> None:
    assert simulate([recorded(resource__amount=150, resource__path=HASHED)], POLICY).total.after == 1
    without = simulate([recorded(resource__amount=150)], POLICY)
    assert without.total.undecided == 1
    assert without.lacking == {"resource.path": 1}


def test_an_action_that_needs_nothing_is_decided_without_any_attribute() -> None:
    assert simulate([recorded("read"), recorded("gone")], POLICY).total.denied_after == 1


def test_a_request_that_was_denied_for_a_value_outside_its_declaration_is_undecided() -> None:
    found = simulate([recorded("read", outcome="deny", reason="attribute-mismatch")], POLICY)
    assert found.total.undecided == 1


def test_people_are_grouped_by_a_recorded_attribute() -> None:
    events = [
        recorded(resource__amount=150, resource__path="x", subject__team="ops"),
        recorded(resource__amount=150, resource__path="x"),
    ]
    found = simulate(events, POLICY, group_by="subject.team")
    assert {group: tally.change for group, tally in found.by_group.items()} == {"ops": 1, NO_GROUP: 1}


def test_undecided_requests_count_on_neither_side() -> None:
    found = simulate([recorded(outcome="step_up")], POLICY)
    assert (found.total.before, found.total.after) == (0, 0)


@pytest.mark.parametrize("days", [1, 7, 90])
def test_every_bar_stays_within_the_drawing(days: int) -> None:
    events = [
        recorded(resource__amount=150, resource__path="x", day=day) for day in range(days) for _ in range(day + 1)
    ]
    drawn = chart(simulate(events, POLICY).by_day)
    assert len(drawn.bars) == 3 * days
    assert len(drawn.days) <= 12
    assert all(drawn.left <= bar.x and bar.x + bar.width <= drawn.right for bar in drawn.bars)
    assert all(bar.y >= 0 and bar.height >= 0 and bar.y + bar.height <= drawn.foot + 0.01 for bar in drawn.bars)


def test_the_page_loads_nothing_and_escapes_what_the_log_says() -> None:
    found = simulate([recorded(resource__amount=1, subject__team="<script>")], POLICY, group_by="subject.team")
    page = simulation_page(found, log="log", policy="policy", group_by="subject.team")
    assert "<script" not in page
    assert "src=" not in page
    assert "&lt;script&gt;" in page


def test_an_empty_log_has_a_page_too() -> None:
    page = simulation_page(simulate([], POLICY), log="log", policy="policy", group_by=None)
    assert "0 requests on 0 days" in page
