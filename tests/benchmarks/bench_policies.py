"""`make bench`: decisions and bundles of a thousand rules, beside the least they could cost. Prints ratios, no verdict.

The floor of a decision is a bare dictionary look-up and ten comparisons, written by hand; that of a bundle is one
signature check and one bare msgspec decode of the same bytes. Rounds alternate, so a busy machine slows both sides.
"""

import base64
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import cedarpy
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keyrung_policies.bundle import Payload, build_payload, open_bundle, sign_bundle
from keyrung_policies.evaluate import evaluate
from keyrung_policies.jws import encode_base64url
from keyrung_policies.model import (
    MAX_INTEGER,
    All,
    Document,
    EnumAttribute,
    Equals,
    IntegerAttribute,
    Level,
    Ordered,
    Request,
    Require,
    Rule,
    TextAttribute,
    Value,
)
from keyrung_policies.policy_set import PolicySet, policy_set

_ROUNDS = 100
_ACTIONS = 100
_NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_ATTRIBUTES: dict[str, Value] = {"resource.amount_minor": 500_000, "resource.payee": "Bob", "subject.kind": "person"}
_DISPLAY = "Pay {resource.amount_minor} to {resource.payee}"
_LEVELS = {
    "otp": Level(acr="o", any_of=(("otp",),), above=()),
    "phr": Level(acr="phr", any_of=(("token-signature-origin-bound",),), above=("otp",)),
}


def _policy(rules: int, *, others: int = 0, display: str | None = None) -> PolicySet:
    """Return a policy with as many rules as asked spread over the actions, and others for one action more."""
    document = Document(
        keyrung="policy/v1",
        attributes={
            "resource.amount_minor": IntegerAttribute(audit="value", min=0, max=MAX_INTEGER),
            "resource.payee": TextAttribute(audit="hash", max_length=70),
            "subject.kind": EnumAttribute(audit="value", values=("machine", "person")),
        },
        levels=_LEVELS,
        rules={f"rule-{n}": _rule(n, other=n >= rules, display=display) for n in range(rules + others)},
    )
    return policy_set(document)


def _rule(number: int, *, other: bool, display: str | None) -> Rule:
    bound = 100_000 * (1 + number // _ACTIONS)
    tests = (
        Equals(attribute="subject.kind", value="person"),
        Ordered(attribute="resource.amount_minor", ordering="gte", bound=bound),
    )
    then = Require(
        level="phr" if number % 2 else "otp",
        max_age_seconds=300,
        bind=("method", "uri", "body"),
        single_use=True,
        batch=None,
        display=display,
    )
    action = "others.one" if other else f"service.action{number % _ACTIONS}"
    return Rule(trigger="resource", actions=(action,), when=All(parts=tests), then=then)


def _seconds_each(action: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def _report(
    what: str, ours: Callable[[], object], floor: Callable[[], object], *, times: int, floor_times: int
) -> None:
    for action in (ours, floor):
        _seconds_each(action, 3)
    pairs = [(_seconds_each(ours, times), _seconds_each(floor, floor_times)) for _ in range(_ROUNDS)]
    ratios = sorted(one / bare for one, bare in pairs)
    tenth = _ROUNDS // 10
    mine, bare = (statistics.median(side) * 1_000_000 for side in zip(*pairs, strict=True))
    print(
        f"\n{what:<58} {mine:10.2f} us  floor {bare:10.2f} us"
        f"  ratio {statistics.median(ratios):7.3f} ({ratios[tenth - 1]:.3f} to {ratios[-tenth]:.3f})",
        end="",
    )


def _bare() -> Callable[[], object]:
    """Return what any decision costs at least: a look-up by action and ten comparisons."""
    table = {f"service.action{number}": tuple(range(10)) for number in range(_ACTIONS)}
    action, value = "service.action7", 500_000

    def decide() -> bool:
        a, b, c, d, e, f, g, h, i, j = table[action]
        return (
            value > a and value > b and value > c and value > d and value > e
            and value > f and value > g and value > h and value > i and value > j
        )  # fmt: skip

    return decide


def _decision(policy: PolicySet) -> Callable[[], object]:
    request = Request(action="service.action7", attributes=_ATTRIBUTES)
    assert evaluate(policy, request, _NOW).outcome == "step_up"
    return lambda: evaluate(policy, request, _NOW)


@pytest.mark.parametrize(("rules", "others"), [(100, 0), (100, 900), (1_000, 0), (100, 9_900)])
def test_a_decision(rules: int, others: int) -> None:
    what = f"a decision, {rules // _ACTIONS} rules for it of {rules + others}"
    _report(what, _decision(_policy(rules, others=others)), _bare(), times=50, floor_times=500)


def test_a_decision_with_a_text_to_approve() -> None:
    what = "a decision with a text to approve, 1 rule for it of 1000"
    _report(what, _decision(_policy(100, others=900, display=_DISPLAY)), _bare(), times=50, floor_times=500)


def test_a_decision_beside_cedar() -> None:
    entities = [{"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": []}]
    policies = "\n".join(
        f'forbid(principal, action == Action::"service.action{number % _ACTIONS}", resource) when '
        f'{{ context.amount_minor >= {100_000 * (1 + number // _ACTIONS)} && context.kind == "person" }};'
        for number in range(1_000)
    )
    asked = {
        "principal": 'User::"bob"',
        "action": 'Action::"service.action7"',
        "resource": 'User::"bob"',
        "context": {"amount_minor": 500_000, "kind": "person"},
    }
    # Both sides are given what they can prepare: parsed policies, parsed entities.
    parsed, known = cedarpy.PolicySet.from_str(policies), cedarpy.Entities.from_json_str(json.dumps(entities))
    assert not cedarpy.is_authorized(asked, parsed, known).allowed

    def cedar() -> object:
        return cedarpy.is_authorized(asked, parsed, known)

    what = "a decision, 10 rules for it of 1000 (floor: cedarpy)"
    _report(what, _decision(_policy(1_000)), cedar, times=50, floor_times=1)


def test_a_bundle_of_a_thousand_rules() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    policy = _policy(1_000)
    payload = build_payload(policy, version=1, not_before=_NOW, expires_at=_NOW + timedelta(days=1))
    bundle = sign_bundle(payload, key_id="bench", algorithm="Ed25519", sign=key.sign)
    envelope = json.loads(bundle)
    signed = f"{envelope['protected']}.{envelope['payload']}".encode()
    signature = base64.urlsafe_b64decode(envelope["signature"] + "==")

    def floor() -> object:
        public.verify(signature, signed)
        return msgspec.json.decode(payload, type=Payload)

    def ours() -> object:
        return open_bundle(bundle, trusted_keys={"bench": jwk}, now=_NOW)

    _report(f"opening a bundle of 1000 rules ({len(bundle) // 1024} KiB)", ours, floor, times=1, floor_times=3)
