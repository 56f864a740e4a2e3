"""RFC 8785: the RFC's own samples, and properties of every value we accept."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.canonical import canonical_bytes, canonical_record
from keyrung_policies.compile import Compiled
from keyrung_policies.errors import CanonicalError
from keyrung_policies.model import MAX_INTEGER, Equals

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))


def test_sample_of_section_3_2_2_without_its_numbers() -> None:
    value = {"string": '€$\u000f\nA\'B"\\\\"/', "literals": [None, True, False]}
    expected = '{"literals":[null,true,false],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    assert canonical_bytes(value) == expected.encode()


def test_sample_of_section_3_2_3_orders_names_by_utf16_units() -> None:
    names = ["€", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = json.loads(canonical_bytes(dict.fromkeys(names)))
    assert list(ordered) == ["\r", "1", "\u0080", "\u00f6", "€", "\U0001f600", "\ufb33"]


def test_every_control_character_has_the_escape_of_section_3_2_2_2() -> None:
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
    for code in range(32):
        escaped = short.get(code, f"\\u{code:04x}")
        assert canonical_bytes(chr(code)) == f'"{escaped}"'.encode()
    assert canonical_bytes("\x7f\u2028") == '"\x7f\u2028"'.encode()


@settings(deadline=None)
@given(VALUES)
def test_canonical_form_reads_back_as_the_same_value_and_is_its_own_canonical_form(value: object) -> None:
    form = canonical_bytes(value)
    assert json.loads(form) == value
    assert canonical_bytes(json.loads(form)) == form


@settings(deadline=None)
@given(st.dictionaries(TEXTS, SCALARS, max_size=6), st.randoms())
def test_order_of_members_does_not_matter(members: dict[str, object], random: object) -> None:
    names = list(members)
    random.shuffle(names)  # type: ignore[attr-defined] # hypothesis types its random source as object
    assert canonical_bytes({name: members[name] for name in names}) == canonical_bytes(members)


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), MAX_INTEGER + 1, -MAX_INTEGER - 1, "\ud800", {"\udfff": 1}, {1: 2}, b"x", {"a": {1, 2}}],
)
def test_value_without_exact_json_form_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical_bytes(value)


def test_bottomless_value_is_refused() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(CanonicalError):
        canonical_bytes(value)


def test_record_has_the_form_of_its_builtins_for_every_character() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    for start in range(0, len(characters), 4096):
        record = Equals(attribute="resource.name", value="".join(characters[start : start + 4096]))
        assert canonical_record(record) == canonical_bytes(msgspec.to_builtins(record))


def test_policy_has_the_form_of_its_builtins(bank: Compiled) -> None:
    document = bank.policy.document
    assert canonical_record(document) == canonical_bytes(msgspec.to_builtins(document))
