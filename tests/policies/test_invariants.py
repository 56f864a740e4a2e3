"""Invariants: how they read, what they say about one decision, and that they leave no trace in a bundle."""

from datetime import UTC, datetime

import pytest

from keyrung_policies.compile import Compiled, compile_texts
from keyrung_policies.evaluate import evaluate
from keyrung_policies.invariants import Floor, Invariant, violation
from keyrung_policies.model import Decision, Equals, Request, Value

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TEXT = """
keyrung: policy/v1
default: deny
attributes:
  subject.kind: {type: enum, values: [person, machine]}
levels:
  otp: {acr: o, any_of: [[otp]]}
  phr: {acr: phr, any_of: [[token-signature-origin-bound]], above: [otp]}
rules:
  - {id: read, actions: [doc.read], allow: true}
  - {id: edit, actions: [doc.edit], require: {level: otp, max_age: 10m, bind: [uri], single_use: false}}
  - {id: export, actions: [doc.export], require: {level: phr, max_age: 5m}}
  - {id: no-machine, actions: [doc.export], when: {subject.kind: machine}, deny: true}
"""
INVARIANTS = """
invariants:
  - {name: machines never export, actions: [doc.export], when: {subject.kind: machine}, always: deny}
  - {name: exports are phishing-resistant, actions: [doc.export], always: {level: phr, max_age: 5m, bind: [body, uri]}}
  - {name: reading is never in the way, actions: ["doc.read", "doc.read.*"], never: deny}
"""


def compiled(invariants: str = "") -> Compiled:
    return compile_texts({"policy.yaml": (TEXT + invariants).encode()})


def decide(action: str, kind: Value = "person") -> Decision:
    return evaluate(compiled().policy, Request(action=action, attributes={"subject.kind": kind}), NOW)


def test_invariants_are_read_in_their_order_and_with_their_place() -> None:
    machines, exports, reading = compiled(INVARIANTS).invariants
    assert (machines.place.file, machines.place.line, machines.place.column) == ("policy.yaml", 16, 5)
    assert (machines.outcomes, machines.floor) == (("deny",), None)
    assert machines.when == Equals(attribute="subject.kind", value="machine")
    assert exports.outcomes == ("step_up", "deny")
    assert exports.floor == Floor(level="phr", max_age_seconds=300, bind=("uri", "body"), single_use=False)
    assert (reading.actions, reading.outcomes) == (("doc.read", "doc.read.*"), ("allow", "step_up"))


def test_invariants_leave_no_trace_in_the_policy() -> None:
    assert compiled(INVARIANTS).policy == compiled().policy


@pytest.mark.parametrize(
    ("action", "promise", "broken"),
    [
        ("doc.export", "always: {level: phr, max_age: 5m, bind: [method, uri, body], single_use: true}", None),
        ("doc.export", "always: {level: otp}", None),
        ("doc.export", "always: step_up", None),
        ("doc.export", "never: allow", None),
        ("doc.unknown", "always: {level: phr}", None),
        ("doc.export", "always: {level: phr, max_age: 4m}", "max_age is 300 seconds, above 240"),
        ("doc.edit", "always: {level: phr}", "the level is otp, which is not phr or above"),
        ("doc.edit", "always: {level: otp, bind: [uri, body]}", "the step-up is not bound to body"),
        ("doc.edit", "always: {level: otp, single_use: true}", "the step-up pays for more than one request"),
        ("doc.read", "always: {level: otp}", "the outcome is allow, not step_up or deny"),
        ("doc.read", "never: allow", "the outcome is allow, not step_up or deny"),
        ("doc.unknown", "never: deny", "the outcome is deny, not allow or step_up"),
    ],
)
def test_decision_keeps_or_breaks_a_promise(action: str, promise: str, broken: str | None) -> None:
    text = f"\ninvariants:\n  - {{name: one, actions: [{action}], {promise}}}\n"
    policy = compiled(text)
    (invariant,) = policy.invariants
    assert isinstance(invariant, Invariant)
    assert violation(invariant, decide(action), policy.policy.order) == broken
