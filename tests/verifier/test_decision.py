"""From an AuthZEN request to the attributes that rules are asked with, and to what would meet a requirement."""

from typing import Any

import pytest
from support.verifier import START, evaluation

from keyrung_policies.compile import compile_texts
from keyrung_policies.model import Requirement
from keyrung_policies.policy_set import PolicySet
from keyrung_verifier import models
from keyrung_verifier.challenge import Alternative
from keyrung_verifier.decision import alternatives, attributes_of, decide
from keyrung_verifier.strict import convert

_POLICY = b"""
keyrung: policy/v1
default: deny
attributes:
  subject.kind: {type: enum, values: [person, machine], audit: value}
  action.channel: {type: enum, values: [web, branch], audit: value}
  resource.tags: {type: set, min_items: 1, max_items: 3, audit: omit}
  context.network: {type: text, max_length: 20, audit: hash}
levels:
  otp: {acr: "urn:test:otp", any_of: [[otp]]}
  phr: {acr: phr, any_of: [[token-signature-origin-bound]], above: [otp]}
rules:
  - id: by-web
    trigger: resource
    actions: [files.read]
    when: {action.channel: web}
    require: {level: otp, max_age: 5m, bind: [method, uri, body]}
  - id: at-a-branch
    actions: [files.read]
    when: {action.channel: branch}
    allow: true
"""


@pytest.fixture(scope="module")
def policy() -> PolicySet:
    return compile_texts({"policy.yaml": _POLICY}).policy


def _asked(**properties: Any) -> models.EvaluationRequest:
    body = evaluation("files.read", resource={"tags": ["a", "b"], "owner": "x"}, network="home", note="undeclared")
    body["action"]["properties"] = {"channel": "web", "speed": 1} | properties
    return convert(body, models.EvaluationRequest)


def test_attributes_stand_under_their_groups_and_what_nobody_declared_is_left_out(policy: PolicySet) -> None:
    assert attributes_of(policy, _asked()) == {
        "subject.kind": "person",
        "action.channel": "web",
        "resource.tags": ("a", "b"),
        "context.network": "home",
    }


@pytest.mark.parametrize(
    ("channel", "outcome"), [("web", "step_up"), ("branch", "allow"), ("pigeon", "deny"), (1, "deny")]
)
def test_a_property_of_the_action_decides(policy: PolicySet, channel: object, outcome: str) -> None:
    assert decide(policy, _asked(channel=channel), START).outcome == outcome


def test_what_meets_a_requirement_begins_with_the_lowest_level_that_is_good_enough(policy: PolicySet) -> None:
    otp = Alternative(acr="urn:test:otp", factors=("otp",))
    phr = Alternative(acr="phr", factors=("token-signature-origin-bound",))
    needed = decide(policy, _asked(), START).requirement
    assert isinstance(needed, Requirement)
    assert alternatives(policy, needed) == (otp, phr)
