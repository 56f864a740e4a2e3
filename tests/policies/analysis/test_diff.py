"""What a comparison of two versions says: the verdict, the respect, and a request that shows it."""

from __future__ import annotations

import pytest
from support.policies import HEAD, compiled

from keyrung_policies.analysis.diff import diff
from keyrung_policies.analysis.differences import Difference, PolicyDiff
from keyrung_policies.analysis.strength import Verdict
from keyrung_policies.analysis.texts import text_classes

STEP_UP = "require: {level: phr, max_age: 5m}"
GUARDED = f"""
- {{id: small, actions: [pay], when: {{resource.amount: {{lt: 100}}}}, allow: true}}
- {{id: large, actions: [pay], when: {{resource.amount: {{gte: 100}}}}, {STEP_UP}}}
"""


def compared(base: str, head: str, **heads: str) -> PolicyDiff:
    before = compiled(base, head=heads.get("base_head", HEAD)).policy
    return diff(before, compiled(head, head=heads.get("head_head", HEAD)).policy)


def only(found: PolicyDiff) -> Difference:
    (difference,) = [difference for _, difference in found.differences()]
    return difference


def test_a_lower_threshold_is_weaker_and_the_request_at_the_new_border_shows_it() -> None:
    found = compared(GUARDED, GUARDED.replace("100", "200"))
    shown = only(found)

    assert found.verdict is Verdict.WEAKER
    assert shown.comparison.weaker == ("step-up-to-allow",)
    assert shown.request.attributes == {"resource.amount": 100}
    assert (shown.base.outcome, shown.head.outcome) == ("step_up", "allow")


def test_the_same_change_the_other_way_round_is_stronger() -> None:
    found = compared(GUARDED.replace("100", "200"), GUARDED)
    assert found.verdict is Verdict.STRONGER
    assert only(found).comparison.stronger == ("allow-to-step-up",)


@pytest.mark.parametrize(
    ("before", "after", "respect"),
    [
        ("max_age: 5m", "max_age: 10m", "max-age"),
        ("level: phr", "level: otp", "level"),
        ("max_age: 5m", "max_age: 5m, bind: [method]", "bind"),
        ("max_age: 5m", "max_age: 5m, single_use: false", "single-use"),
        ("max_age: 5m", "max_age: 5m, bind: [method, uri, body], batch: {count: 5, within: 1m}", "single-use"),
    ],
)
def test_a_weaker_requirement_is_named_by_the_respect_in_which_it_is(before: str, after: str, respect: str) -> None:
    found = compared(GUARDED, GUARDED.replace(before, after))
    assert found.verdict is Verdict.WEAKER
    assert only(found).comparison.weaker == (respect,)


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("{count: 5, within: 1m}", "{count: 6, within: 1m}"), ("{count: 5, within: 1m}", "{count: 5, within: 2m}")],
)
def test_a_larger_batch_is_weaker(smaller: str, larger: str) -> None:
    base = GUARDED.replace("max_age: 5m", f"max_age: 5m, bind: [], batch: {smaller}")
    assert only(compared(base, base.replace(smaller, larger))).comparison.weaker == ("batch",)


def test_a_requirement_can_be_weaker_and_stronger_at_once() -> None:
    found = compared(GUARDED, GUARDED.replace("level: phr, max_age: 5m", "level: otp, max_age: 1m"))
    assert found.verdict is Verdict.BOTH
    assert only(found).comparison.weaker == ("level",)
    assert only(found).comparison.stronger == ("max-age",)


@pytest.mark.parametrize(
    "head",
    [
        "\n".join(reversed(GUARDED.strip().splitlines())),
        GUARDED.replace("small", "up-to-a-hundred").replace("large", "a-hundred-and-more"),
        GUARDED.replace("{lt: 100}", "{lte: 99}"),
        GUARDED.replace("{resource.amount: {gte: 100}}", "{not: {resource.amount: {lt: 100}}}"),
        GUARDED.replace(
            "actions: [pay], when: {resource.amount: {gte",
            "trigger: risk, actions: [pay], when: {resource.amount: {gte",
        ),
        GUARDED + f"- {{id: huge, actions: [pay], when: {{resource.amount: {{gt: 500}}}}, {STEP_UP}}}\n",
    ],
    ids=["reordered", "renamed", "another operator", "turned round", "another trigger", "a rule that adds nothing"],
)
def test_a_refactoring_is_an_empty_difference(head: str) -> None:
    found = compared(GUARDED, head)
    assert found.verdict is Verdict.EQUAL
    assert not found.changed
    assert not found.declarations


def test_a_renamed_level_is_an_empty_difference() -> None:
    renamed = HEAD.replace("  phr: ", "  strong: ")
    found = compared(GUARDED, GUARDED.replace("level: phr", "level: strong"), head_head=renamed)
    assert found.verdict is Verdict.EQUAL


def test_a_level_that_more_factors_reach_is_weaker_under_the_same_name() -> None:
    widened = HEAD.replace("[[token-signature-origin-bound]]", "[[token-signature-origin-bound], [otp]]")
    assert only(compared(GUARDED, GUARDED, head_head=widened)).comparison.weaker == ("level",)


def test_a_stronger_level_above_takes_nothing_away() -> None:
    more = HEAD.replace("rules:\n", "  phrh: {acr: phrh, any_of: [[token-signature-attested]], above: [phr]}\nrules:\n")
    assert compared(GUARDED, GUARDED, head_head=more).verdict is Verdict.EQUAL


def test_an_acr_that_changes_hands_is_weaker_because_old_assertions_carry_it() -> None:
    swapped = (
        HEAD.replace("acr: phr", "acr: x")
        .replace('acr: "urn:keyrung:otp"', "acr: phr")
        .replace("acr: x", 'acr: "urn:keyrung:otp"')
    )
    found = compared(GUARDED, GUARDED, head_head=swapped)
    assert "level" in only(found).comparison.weaker


def test_a_rule_for_a_prefix_is_seen_at_actions_nobody_named() -> None:
    found = compared("- {id: a, actions: [doc.read], allow: true}", '- {id: a, actions: ["doc.*"], allow: true}')
    (changed,) = found.changed
    assert changed.action.title == "any other action in doc.*"
    assert only(found).request.action == "doc.other"


def test_a_glob_is_compared_by_what_fits_it() -> None:
    rule = '- {{id: a, actions: [read], when: {{resource.path: {{glob: "{0}"}}}}, allow: true}}'
    assert compared(rule.format("/var/*"), rule.format("/var/**")).verdict is Verdict.EQUAL
    found = compared(rule.format("/var/log/*"), rule.format("/var/*"))
    path = only(found).request.attributes["resource.path"]
    assert isinstance(path, str)
    assert path.startswith("/var/")
    assert not path.startswith("/var/log/")


def test_a_network_is_compared_by_the_addresses_in_it() -> None:
    rule = "- {{id: a, actions: [read], when: {{context.address: {{cidr: {0}}}}}, allow: true}}"
    halves = rule.format("[10.0.0.0/25, 10.0.0.128/25]")
    assert compared(rule.format("[10.0.0.0/24]"), halves).verdict is Verdict.EQUAL
    found = compared(rule.format("[10.0.0.0/24]"), rule.format("[10.0.0.0/23]"))
    assert only(found).request.attributes["context.address"] == "10.0.1.0"


def test_a_time_window_is_compared_to_the_minute() -> None:
    rule = '- {{id: a, actions: [read], when: {{time: {{from: "08:00", to: "{0}"}}}}, allow: true}}'
    shown = only(compared(rule.format("18:00"), rule.format("18:01")))
    assert (shown.now.hour, shown.now.minute) == (18, 0)


def test_a_list_is_compared_by_what_it_has() -> None:
    rule = "- {{id: a, actions: [read], when: {{subject.roles: {{has: {0}}}}}, allow: true}}"
    found = compared(rule.format("admin"), rule.format("owner"))
    assert found.verdict is Verdict.BOTH
    shown = {one.head.outcome: one.request.attributes["subject.roles"] for _, one in found.differences()}
    assert shown == {"allow": ("owner",), "deny": ("admin",)}


def test_items_that_differ_behind_a_nul_are_told_apart() -> None:
    rules = """
    - {{id: a, actions: [read], allow: true}}
    - {{id: b, actions: [read], when: {{subject.roles: {{has: "x\\0{0}"}}}}, deny: true}}
    """
    assert compared(rules.format("a"), rules.format("b")).verdict is Verdict.BOTH


@pytest.mark.parametrize(
    ("timeout_seconds", "verdict"), [(float("nan"), Verdict.UNDECIDED), (float("inf"), Verdict.WEAKER)]
)
def test_a_time_that_never_ends_or_is_no_number_ends_in_a_verdict(timeout_seconds: float, verdict: Verdict) -> None:
    weaker = compiled(GUARDED.replace("100", "200")).policy
    assert diff(compiled(GUARDED).policy, weaker, timeout_seconds=timeout_seconds).verdict is verdict


def test_an_attribute_that_is_no_longer_needed_is_weaker_for_requests_without_it() -> None:
    base = "- {id: a, actions: [read], when: {any: [{signal.odd: true}, {signal.odd: false}]}, allow: true}"
    shown = only(compared(base, "- {id: a, actions: [read], allow: true}"))
    assert shown.comparison.weaker == ("deny-to-allow",)
    assert "attribute-missing" in shown.base.reasons[0]


def test_a_wider_declaration_reaches_actions_that_never_look_at_the_attribute() -> None:
    wider = HEAD.replace("[ops, sales]", "[ops, sales, support]")
    rule = "- {id: a, actions: [read, write], allow: true}"
    found = compared(rule, rule, head_head=wider)
    (declaration,) = found.declarations
    assert found.verdict is declaration.verdict is Verdict.WEAKER
    assert [action.label for action in declaration.actions] == ["read", "write"]
    assert only(found).request.attributes == {"subject.team": "support"}


def test_a_text_that_people_approve_is_a_change_of_the_same_strength() -> None:
    base = GUARDED.replace("max_age: 5m}}", "max_age: 5m}}").replace(
        STEP_UP, f'{STEP_UP}, display: "Pay {{resource.amount}}"'
    )
    found = compared(base, base.replace("Pay ", "Send "))
    assert found.verdict is Verdict.EQUAL
    assert only(found).display


def test_a_changed_type_is_not_decided_and_counts_as_weaker() -> None:
    text = HEAD.replace("resource.amount: {type: integer, min: 0, max: 1000}", "resource.amount: {type: text}")
    rule = "- {id: a, actions: [pay], when: {resource.amount: {eq: %s}}, allow: true}"
    found = compared(rule % 1, rule % "x", head_head=text)
    assert found.verdict is Verdict.UNDECIDED
    assert found.verdict.may_be_weaker
    assert "changed its type" in str(found.changed[0].undecided)


def test_a_comparison_that_runs_out_of_time_is_not_decided_and_counts_as_weaker() -> None:
    ticks = iter(range(0, 10_000, 30))
    found = diff(
        compiled(GUARDED).policy,
        compiled(GUARDED.replace("100", "200")).policy,
        timeout_seconds=20,
        clock=lambda: next(ticks),
    )
    assert found.verdict is Verdict.UNDECIDED
    assert found.verdict.may_be_weaker


def test_patterns_that_overlap_in_too_many_ways_are_not_decided() -> None:
    words = [f"{first}{second}" for first in "abcdefgh" for second in "abc"]
    rules = "\n".join(
        f'- {{id: r-{word}, actions: [read], when: {{resource.path: {{glob: "*{word}*"}}}}, allow: true}}'
        for word in words
    )
    found = compared(rules, rules.replace("*aa*", "*zz*"))
    assert found.verdict is Verdict.UNDECIDED


def test_texts_of_a_class_are_as_long_as_the_class_asks() -> None:
    short, long = text_classes(frozenset(), frozenset({"*"}), (3, 5))
    assert len(short) <= 3 < len(long) <= 5
