"""Compiling: the same content gives the same bytes, however it is ordered, split or phrased."""

import json
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.bundle import policy_digest
from keyrung_policies.canonical import canonical_bytes
from keyrung_policies.compile import compile_path, compile_texts
from keyrung_policies.model import All, Condition, Document, Equals, Ordered, Require
from keyrung_policies.policy_set import PolicySet

HEAD = {"keyrung": "policy/v1", "default": "deny"}
ATTRIBUTES = {
    "resource.n": {"type": "integer", "min": 0},
    "resource.kind": {"type": "enum", "values": ["a", "b", "c"]},
    "context.ip": {"type": "ip", "audit": "hash"},
}
LEVELS = {
    "low": {"acr": "low", "any_of": [["otp"]]},
    "high": {"acr": "high", "any_of": [["token-signature-origin-bound", "otp"], ["otp"]], "above": ["low"]},
}
CONDITION = {
    "resource.n": {"gte": 1, "lt": 9},
    "any": [{"resource.kind": {"in": ["c", "a"]}}, {"context.ip": {"cidr": ["10.0.0.0/8", "::/64"]}}],
    "not": {"resource.kind": "b"},
}
RULES = [
    {"id": "one", "actions": ["x.y", "x.*"], "when": CONDITION, "allow": True},
    {"id": "two", "actions": ["x.y"], "require": {"level": "high", "max_age": "5m", "bind": ["body", "uri"]}},
    {"id": "three", "actions": ["*"], "when": {"resource.n": 3}, "deny": True},
]


def compiled(*files: dict[str, object]) -> PolicySet:
    # JSON is YAML, so a shuffled structure needs no YAML writer.
    return compile_texts({f"{index}.yaml": json.dumps(file).encode() for index, file in enumerate(files)}).policy


def whole() -> dict[str, object]:
    return {**HEAD, "attributes": ATTRIBUTES, "levels": LEVELS, "rules": RULES}


def shuffled(value: object, random: Random) -> object:
    """Return the same structure with every mapping and every list in another order; all lists here are sets."""
    if isinstance(value, dict):
        return {name: shuffled(value[name], random) for name in random.sample(list(value), len(value))}
    if isinstance(value, list):
        return [shuffled(item, random) for item in random.sample(value, len(value))]
    return value


def when(text: str) -> Condition | None:
    head = "keyrung: policy/v1\ndefault: deny\nattributes: {resource.n: {type: integer}, resource.b: {type: boolean}}\n"
    text = head + "rules:\n  - {id: one, actions: [a.b], allow: true, when: {" + text + "}}\n"
    return compile_texts({"policy.yaml": text.encode()}).policy.document.rules["one"].when


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_everything_in_a_file_leaves_the_digest_alone(random: Random) -> None:
    other = shuffled(whole(), random)
    assert isinstance(other, dict)
    assert policy_digest(compiled(other)) == policy_digest(compiled(whole()))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_division_into_files_leaves_the_digest_alone(homes: list[int]) -> None:
    files: list[dict[str, object]] = [{**HEAD}, {**HEAD}, {**HEAD}]
    files[homes[0]]["attributes"] = ATTRIBUTES
    files[homes[1]]["levels"] = LEVELS
    for home, rule in zip(homes[2:], RULES, strict=True):
        files[home]["rules"] = [*json.loads(json.dumps(files[home].get("rules", []))), rule]
    assert policy_digest(compiled(*files)) == policy_digest(compiled(whole()))


def test_document_reads_back_from_its_canonical_bytes() -> None:
    document = compiled(whole()).document
    form = canonical_bytes(msgspec.to_builtins(document))
    assert msgspec.json.decode(form, type=Document) == document


@pytest.mark.parametrize(
    "text",
    [
        "resource.n: {gt: 1}, resource.b: true",
        "resource.b: {eq: true}, resource.n: {gt: 1}",
        "all: [{resource.b: true}, {resource.n: {gt: 1}}]",
        "all: [{all: [{resource.n: {gt: 1}}]}, {resource.b: true}, {resource.b: true}]",
    ],
)
def test_phrasing_of_a_conjunction_leaves_no_trace(text: str) -> None:
    assert when(text) == All(
        parts=(
            Equals(attribute="resource.b", value=True),
            Ordered(attribute="resource.n", ordering="gt", bound=1),
        )
    )


def test_step_up_binds_everything_and_is_single_use_unless_said_otherwise() -> None:
    rule = {"id": "one", "actions": ["a"], "require": {"level": "low", "max_age": "2h"}}
    effect = compiled({**HEAD, "levels": LEVELS, "rules": [rule]}).document.rules["one"].then
    assert effect == Require(
        level="low", max_age_seconds=7200, bind=("method", "uri", "body"), single_use=True, batch=None, display=None
    )


def test_unquoted_times_are_times_and_not_numbers_in_base_60(tmp_path: Path) -> None:
    text = "keyrung: policy/v1\ndefault: deny\nrules:\n"
    text += "  - {id: one, actions: [a.b], when: {time: {from: 22:00, to: 06:00}}, allow: true}\n"
    (tmp_path / "one.yaml").write_text(text)
    quoted = text.replace("22:00", '"22:00"').replace("06:00", '"06:00"')
    assert compile_path(tmp_path).policy == compile_texts({"one.yaml": quoted.encode()}).policy


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(json.dumps(whole()))
    (tmp_path / "README.md").write_text("not: [a policy")
    assert compile_path(tmp_path).policy == compiled(whole())
