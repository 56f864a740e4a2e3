"""Decisions: what beats what, what is missing, and that no order of anything matters."""

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.compile import Compiled, compile_texts
from keyrung_policies.errors import EvaluationError, PolicyModelError
from keyrung_policies.evaluate import MAX_MERGED, evaluate
from keyrung_policies.model import Allow, Decision, Document, Equals, Request, Require, Rule, Value
from keyrung_policies.policy_set import PolicySet, policy_set

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TEXT = """
keyrung: policy/v1
default: deny
attributes:
  resource.n: {type: integer, min: 0, max: 100}
  resource.name: {type: text, max_length: 8}
  signal.odd: {type: boolean}
levels:
  low: {acr: low, any_of: [[otp]]}
  left: {acr: left, any_of: [[otp, token-signature-origin-bound]], above: [low]}
  right: {acr: right, any_of: [[token-signature-origin-bound]], above: [low]}
  top: {acr: top, any_of: [[token-signature-origin-bound], [otp]], above: [left, right]}
rules:
  - {id: read, actions: ["doc.*"], allow: true}
  - id: edit
    actions: [doc.edit]
    require: {level: left, max_age: 10m, bind: [uri, body]}
    display: "Edit {resource.name}"
  - id: all-doc
    actions: ["doc.*"]
    when: {resource.n: {gt: 50}}
    require: {level: right, max_age: 2m, bind: [method]}
  - {id: odd, actions: ["*"], when: {signal.odd: true}, deny: true}
  - {id: stamp, actions: [doc.stamp.final], require: {level: low, max_age: 1s, single_use: false, bind: []}}
"""
CALM: dict[str, Value] = {"signal.odd": False, "resource.n": 1, "resource.name": "plan"}


@pytest.fixture(scope="module")
def policy() -> PolicySet:
    return compile_texts({"policy.yaml": TEXT.encode()}).policy


def decide(policy: PolicySet, action: str, **changes: Value | None) -> Decision:
    attributes = CALM | {name.replace("__", "."): value for name, value in changes.items() if value is not None}
    for name in [name.replace("__", ".") for name, value in changes.items() if value is None]:
        del attributes[name]
    return evaluate(policy, Request(action=action, attributes=attributes), NOW)


def test_allow_needs_a_rule_and_everything_else_is_denied(policy: PolicySet) -> None:
    assert decide(policy, "doc.read").outcome == "allow"
    assert decide(policy, "doc.read").rule_ids == ("read",)
    assert decide(policy, "mail.read") == Decision(
        outcome="deny",
        requirement=None,
        rule_ids=(),
        reasons=("default-deny: no rule allows this action for this request",),
    )


def test_step_up_beats_allow_and_deny_beats_step_up(policy: PolicySet) -> None:
    assert decide(policy, "doc.edit").outcome == "step_up"
    refused = decide(policy, "doc.edit", signal__odd=True)
    assert (refused.outcome, refused.rule_ids, refused.requirement) == ("deny", ("odd",), None)


def test_requirements_merge_to_the_join_the_smallest_age_and_all_bindings(policy: PolicySet) -> None:
    decision = decide(policy, "doc.edit", resource__n=51)
    assert decision.rule_ids == ("all-doc", "edit")
    requirement = decision.requirement
    assert requirement is not None
    assert (requirement.level, requirement.acr, requirement.acr_values) == ("top", "top", ("top",))
    assert requirement.max_age_seconds == 120
    assert requirement.bind == ("method", "uri", "body")
    assert requirement.single_use
    assert requirement.display == "Edit plan"


def test_requirement_names_its_level_first_and_every_level_above(policy: PolicySet) -> None:
    requirement = decide(policy, "doc.stamp.final").requirement
    assert requirement is not None
    assert requirement.acr_values == ("low", "left", "right", "top")
    assert requirement.any_of == (
        ("otp",),
        ("otp", "token-signature-origin-bound"),
        ("token-signature-origin-bound",),
    )
    assert (requirement.max_age_seconds, requirement.bind, requirement.single_use) == (1, (), False)


@pytest.mark.parametrize("name", ["signal.odd", "resource.n"])
def test_attribute_left_out_is_no_way_round_a_rule(policy: PolicySet, name: str) -> None:
    decision = decide(policy, "doc.read", **{name.replace(".", "__"): None})
    assert decision.outcome == "deny"
    assert decision.reasons[0].startswith(f"attribute-missing: {name} is needed by ")


def test_display_text_that_cannot_be_filled_denies(policy: PolicySet) -> None:
    decision = decide(policy, "doc.edit", resource__name=None)
    assert decision.outcome == "deny"
    assert decision.reasons == ("attribute-missing: resource.name is needed by the display text of edit",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resource__n", 101),
        ("resource__n", True),
        ("resource__n", "5"),
        ("resource__name", "too long a name"),
        ("signal__odd", 0),
    ],
)
def test_value_outside_its_declaration_denies(policy: PolicySet, name: str, value: Value) -> None:
    decision = decide(policy, "doc.read", **{name: value})
    assert decision.outcome == "deny"
    assert decision.reasons[0].startswith(f"attribute-mismatch: {name.replace('__', '.')} must be ")


def test_undeclared_attribute_is_ignored(policy: PolicySet) -> None:
    assert decide(policy, "doc.read", resource__other="x").outcome == "allow"


@pytest.mark.parametrize(
    "action",
    [
        "",
        "*",
        "doc.*",
        "doc",
        "doc.",
        ".read",
        "doc..read",
        "doc.read ",
        "doc.read\n",
        "Doc.read",
        "doc/read",
        "x" * 129,
    ],
)
def test_action_that_is_not_the_exact_name_is_denied(policy: PolicySet, action: str) -> None:
    assert decide(policy, action).outcome == "deny"


def test_prefix_covers_every_depth_below_it_and_whole_segments_only(policy: PolicySet) -> None:
    assert decide(policy, "doc.a.b.c").outcome == "allow"
    assert decide(policy, "document.read").outcome == "deny"


def test_star_rule_concerns_every_action(policy: PolicySet) -> None:
    assert decide(policy, "mail.read", signal__odd=True).rule_ids == ("odd",)
    assert decide(policy, "mail.read", signal__odd=None).reasons[0].startswith("attribute-missing: signal.odd")


def test_time_without_a_zone_is_an_error_and_not_a_decision(policy: PolicySet) -> None:
    with pytest.raises(EvaluationError):
        evaluate(policy, Request(action="doc.read", attributes=CALM), NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    "then",
    [
        Require(level="none", max_age_seconds=1, bind=(), single_use=True, batch=None, display=None),
        Require(level="low", max_age_seconds=1, bind=(), single_use=True, batch=None, display="{resource.gone}"),
        Require(level="low", max_age_seconds=1, bind=(), single_use=True, batch=None, display="{"),
    ],
)
def test_document_that_contradicts_itself_becomes_no_policy(policy: PolicySet, then: Require) -> None:
    rule = Rule(trigger=None, actions=("a",), when=None, then=then)
    with pytest.raises(PolicyModelError):
        policy_set(msgspec.structs.replace(policy.document, rules={"one": rule}))


def test_condition_on_an_undeclared_attribute_becomes_no_policy(policy: PolicySet) -> None:
    rule = Rule(trigger=None, actions=("a",), when=Equals(attribute="resource.gone", value=1), then=Allow())
    with pytest.raises(PolicyModelError, match="undeclared-attribute"):
        policy_set(msgspec.structs.replace(policy.document, rules={"one": rule}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffled:
    """The same policy written in another order, and a request."""

    document: Document
    request: Request


ORDERED = compile_texts({"policy.yaml": TEXT.encode()}).policy


@st.composite
def shuffled(draw: st.DrawFn) -> Shuffled:
    document = ORDERED.document
    random: Random = draw(st.randoms(use_true_random=False))
    rules, levels = list(document.rules.items()), list(document.levels.items())
    random.shuffle(rules)
    random.shuffle(levels)
    attributes: dict[str, Value] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "signal.odd": st.booleans(),
                "resource.n": st.integers(0, 101),
                "resource.name": st.text(max_size=9),
            },
        )
    )
    names = list(attributes.items())
    random.shuffle(names)
    action = draw(st.sampled_from(["doc.read", "doc.edit", "doc.stamp.final", "mail.read"]))
    return Shuffled(
        document=msgspec.structs.replace(document, rules=dict(rules), levels=dict(levels)),
        request=Request(action=action, attributes=dict(names)),
    )


@settings(deadline=None)
@given(shuffled())
def test_order_of_rules_levels_and_attributes_never_matters(other: Shuffled) -> None:
    ordered = Request(action=other.request.action, attributes=dict(sorted(other.request.attributes.items())))
    assert evaluate(policy_set(other.document), other.request, NOW) == evaluate(ORDERED, ordered, NOW)


@settings(deadline=None)
@given(shuffled(), shuffled())
def test_decision_never_depends_on_what_was_asked_before(first: Shuffled, second: Shuffled) -> None:
    fresh = evaluate(policy_set(ORDERED.document), second.request, NOW)
    evaluate(ORDERED, first.request, NOW)
    assert evaluate(ORDERED, second.request, NOW) == fresh


def test_what_is_kept_of_merged_requirements_is_bounded() -> None:
    rules = "".join(
        f"  - id: r{bit}\n    actions: [a.b]\n    when: {{resource.flags: {{has: f{bit}}}}}\n"
        "    require: {level: low, max_age: 1m}\n"
        for bit in range(9)
    )
    text = "keyrung: policy/v1\ndefault: deny\nattributes: {resource.flags: {type: set, min_items: 0}}\n"
    text += f"levels: {{low: {{acr: low, any_of: [[otp]]}}}}\nrules:\n{rules}"
    many = compile_texts({"p.yaml": text.encode()}).policy
    for number in range(2**9):
        flags = tuple(f"f{bit}" for bit in range(9) if number >> bit & 1)
        decision = evaluate(many, Request(action="a.b", attributes={"resource.flags": flags}), NOW)
        assert decision.rule_ids == tuple(f"r{flag[1:]}" for flag in flags)
    plan = many.plan_for("a.b")
    assert plan is not None
    assert len(plan.merged) == MAX_MERGED


def test_sample_policy_asks_for_what_the_sample_api_shows(bank: Compiled) -> None:
    attributes: dict[str, Value] = {
        "resource.amount_minor": 250000,
        "resource.currency": "EUR",
        "resource.payee": "ACME\u202e",
    }
    decision = evaluate(bank.policy, Request(action="payments.transfer", attributes=attributes), NOW)
    assert decision.requirement is not None
    assert decision.requirement.display == "Transfer 2 500.00 EUR to ACME\\u{202E}"
