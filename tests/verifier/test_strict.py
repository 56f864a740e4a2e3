"""The strict layer: one reading or none."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.verifier import b64

from keyrung_verifier.errors import StrictFormError
from keyrung_verifier.strict import decode_base64url, length_prefixed, parse_object


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(("depth", "fits"), [(1, True), (8, True), (9, False), (1000, False)])
def test_nesting_ends_at_the_limit(depth: int, fits: bool) -> None:
    if fits:
        assert parse_object(nested(depth))
    else:
        with pytest.raises(StrictFormError, match="too_deep"):
            parse_object(nested(depth))


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":' + b"[" * 8 + b"]" * 8 + b"}",
        b'{"a":[' + b"[]," * 50 + b"[" * 7 + b"]" * 8 + b"}",
        b"[" * 9 + b"]" * 9,
    ],
    ids=["in one object", "behind many that are flat", "without an object"],
)
def test_lists_count_as_nesting(data: bytes) -> None:
    with pytest.raises(StrictFormError, match="too_deep"):
        parse_object(data)


def test_what_follows_one_another_does_not_count_as_nesting() -> None:
    assert parse_object(b'{"a":[' + b"[]," * 50 + b"[]]}") == {"a": [[]] * 51}


def test_brackets_inside_texts_do_not_count_as_nesting() -> None:
    text = '{"a":"' + "[" * 50 + '\\"' + "{" * 50 + '"}'

    assert parse_object(text.encode()) == {"a": "[" * 50 + '"' + "{" * 50}


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
def test_length_ends_at_the_limit(size: int, fits: bool) -> None:
    data = b'{"a":"' + b"x" * (size - 8) + b'"}'
    if fits:
        assert parse_object(data, max_bytes=100)
    else:
        with pytest.raises(StrictFormError, match=r"\btoo_long\b"):
            parse_object(data, max_bytes=100)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":1,"a":1}', "not_json"),
        (b'{"a":1,"\\u0061":2}', "not_json"),
        (b'{"x":{"a":1,"a":1}}', "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b'{"a":9007199254740992}', "not_json"),
        (b'{"a":-9007199254740992}', "not_json"),
        (b'{"a":"\\udc00"}', "lone_surrogate"),
        (b'{"\\ud800":1}', "lone_surrogate"),
        (b"\xff{}", "not_json"),
        (b"[]", "not_an_object"),
        (b"1", "not_an_object"),
    ],
)
def test_what_has_two_readings_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(StrictFormError) as caught:
        parse_object(data)

    assert caught.value.reason == reason


def test_escaped_pairs_and_exact_numbers_are_read() -> None:
    assert parse_object(b'{"a":"\\ud83d\\ude00","b":9007199254740991,"c":-0.5}') == {
        "a": "\U0001f600",
        "b": 2**53 - 1,
        "c": -0.5,
    }


@given(st.binary())
def test_no_bytes_make_anything_but_an_object_or_a_refusal(data: bytes) -> None:
    with contextlib.suppress(StrictFormError):
        assert isinstance(parse_object(data), dict)


@given(st.dictionaries(st.text(), st.text() | st.booleans() | st.none() | st.integers(-(2**53) + 1, 2**53 - 1)))
def test_ordinary_json_is_read_as_python_reads_it(value: dict[str, object]) -> None:
    data = json.dumps(value, ensure_ascii=False)
    if data.isascii() or all(not 0xD800 <= ord(char) <= 0xDFFF for char in data):
        assert parse_object(data.encode(), max_bytes=10**6) == value


@given(st.binary(max_size=64))
def test_base64url_has_one_spelling(data: bytes) -> None:
    text = b64(data)

    assert decode_base64url(text) == data
    for other in (f"{text}=", f"{text}\n", f" {text}", f"{text}+", text + "\u0661"):
        with pytest.raises(StrictFormError):
            decode_base64url(other)


def test_base64url_of_another_length_is_refused() -> None:
    assert decode_base64url(b64(b"12"), size_bytes=2) == b"12"
    with pytest.raises(StrictFormError, match="wrong_length"):
        decode_base64url(b64(b"12"), size_bytes=3)


@pytest.mark.parametrize("text", ["A", "AB", "AAB", "QUI=", "Q_U+", "Q U", "QQ\n"])
def test_base64url_with_unused_bits_or_foreign_characters_is_refused(text: str) -> None:
    with pytest.raises(StrictFormError):
        decode_base64url(text)


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_two_lists_of_fields_never_give_the_same_bytes(one: list[str], other: list[str]) -> None:
    assert (length_prefixed(*one) == length_prefixed(*other)) == (one == other)
