"""List-valued attributes, and step-ups that pay for several requests: what they accept, and how they combine."""

from datetime import UTC, datetime

import pytest

from keyrung_policies.compile import compile_texts
from keyrung_policies.evaluate import evaluate
from keyrung_policies.model import All, Any, Batch, Decision, Has, Request, Requirement, Value

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TEXT = """
keyrung: policy/v1
default: deny
attributes:
  resource.columns: {type: set, values: [email, name, ssn], max_items: 2}
  subject.roles: {type: set, min_items: 0}
levels:
  otp: {acr: o, any_of: [[otp]]}
rules:
  - {id: plain, actions: [data.read], allow: true}
  - id: secret
    actions: [data.read]
    when: {resource.columns: {has: ssn}, not: {subject.roles: {has_any: [auditor, dpo]}}}
    require: {level: otp, max_age: 5m}
    display: "Read {resource.columns}"
  - {id: many, actions: ["bulk.*"], require: {level: otp, max_age: 5m, bind: [], batch: {count: 10, within: 60s}}}
  - {id: few, actions: [bulk.few], require: {level: otp, max_age: 5m, bind: [], batch: {count: 3, within: 2h}}}
  - {id: once, actions: [bulk.once], require: {level: otp, max_age: 5m}}
  - {id: open, actions: [bulk.open], require: {level: otp, max_age: 5m, bind: [], single_use: false}}
"""
POLICY = compile_texts({"policy.yaml": TEXT.encode()}).policy


def decide(action: str, **attributes: Value) -> Decision:
    named = {"subject.roles": attributes.get("roles", ()), "resource.columns": attributes.get("columns", ("name",))}
    return evaluate(POLICY, Request(action=action, attributes=named), NOW)


def required(action: str) -> Requirement:
    requirement = decide(action).requirement
    assert requirement is not None
    return requirement


def test_rule_looks_for_items_wherever_they_stand() -> None:
    assert decide("data.read", columns=("name",)).outcome == "allow"
    assert decide("data.read", columns=("name", "ssn")).rule_ids == ("secret",)
    assert decide("data.read", columns=("ssn", "name")).rule_ids == ("secret",)
    assert decide("data.read", columns=("ssn",), roles=("dev", "dpo")).outcome == "allow"


def test_display_lists_declared_items_in_one_order() -> None:
    requirement = decide("data.read", columns=("ssn", "name")).requirement
    assert requirement is not None
    assert requirement.display == "Read name, ssn"


@pytest.mark.parametrize("columns", [(), ("email", "name", "ssn"), ("phone",), ("name", 1), "name", ["name"], ("",)])
def test_list_outside_its_declaration_denies(columns: Value) -> None:
    decision = decide("data.read", columns=columns)
    assert decision.outcome == "deny"
    assert decision.reasons == ("attribute-mismatch: resource.columns must be a list of 1 to 2 of email, name, ssn",)


def test_empty_list_is_a_value_only_where_it_is_declared_so() -> None:
    assert decide("data.read", roles=()).outcome == "allow"
    assert decide("data.read", columns=()).outcome == "deny"


def test_several_items_compile_to_single_tests_in_one_order() -> None:
    when = POLICY.document.rules["secret"].when
    assert isinstance(when, All)
    text = TEXT.replace("has_any: [auditor, dpo]", "has_any: [dpo, auditor]").replace("{has: ssn}", "{has_all: [ssn]}")
    assert compile_texts({"policy.yaml": text.encode()}).policy == POLICY
    some = Any(parts=tuple(Has(attribute="subject.roles", value=role) for role in ("auditor", "dpo")))
    assert some in [getattr(part, "part", None) for part in when.parts]


def test_smallest_batch_wins_and_once_beats_any_batch() -> None:
    assert (required("bulk.all").single_use, required("bulk.all").batch) == (False, Batch(count=10, within_seconds=60))
    assert required("bulk.few").batch == Batch(count=3, within_seconds=60)
    assert (required("bulk.once").single_use, required("bulk.once").batch) == (True, None)


def test_batch_beats_a_step_up_that_pays_for_any_number() -> None:
    assert required("bulk.open").batch == Batch(count=10, within_seconds=60)
