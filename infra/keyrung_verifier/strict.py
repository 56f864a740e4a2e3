"""The strict layer in front of everything that comes from outside.

Ordinary readers accept repeated members, NaN, a byte order mark, odd base64url and deep nesting; two readers then
disagree about one text. Here there is one reading or none.
"""

import json
import math
import re
from typing import TypeVar

import msgspec

from keyrung_policies import jws
from keyrung_verifier.errors import StrictFormError
from keyrung_verifier.limits import MAX_BODY_BYTES, MAX_INTEGER, MAX_JSON_DEPTH

Model = TypeVar("Model")

SHA256_BYTES = 32
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def parse_object(data: bytes, *, max_bytes: int = MAX_BODY_BYTES, max_depth: int = MAX_JSON_DEPTH) -> dict[str, object]:
    """Return the JSON object in the bytes.

    Raises:
        StrictFormError: Too long, too deep, not UTF-8, a byte order mark, a repeated member, a number that is
            not exact, a lone surrogate, or no object.
    """
    if len(data) > max_bytes:
        raise StrictFormError("too_long")
    if _depth(data) > max_depth:
        raise StrictFormError("too_deep")
    try:
        value: object = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        # A decoding error carries the whole text, so it is not chained.
        raise StrictFormError("not_json") from None
    if not isinstance(value, dict):
        raise StrictFormError("not_an_object")
    if b"\\u" in data:
        _refuse_surrogates(value)
    return value


def convert(value: object, model: type[Model]) -> Model:
    """Return the value as the model, every type exact and no unknown member.

    Raises:
        StrictFormError: It does not fit; the text of the value is not repeated.
    """
    try:
        return msgspec.convert(value, model, strict=True)
    except msgspec.ValidationError:
        # Its message may quote the value, so it is not chained.
        raise StrictFormError("wrong_shape") from None


def decode_base64url(text: str, *, size_bytes: int | None = None) -> bytes:
    """Return the bytes of the one canonical base64url text for them (RFC 4648 section 3.5).

    Raises:
        StrictFormError: Padding, a foreign character, unused bits that are set, or another length.
    """
    try:
        data = jws.decode_base64url(text)
    except jws.MalformedError:
        raise StrictFormError("not_base64url") from None
    if size_bytes is not None and len(data) != size_bytes:
        raise StrictFormError("wrong_length")
    return data


def length_prefixed(*fields: str | bytes) -> bytes:
    """Return the fields one after another, each behind its length, so that no two lists give the same bytes."""
    parts: list[bytes] = []
    for field in fields:
        data = field.encode("utf-8") if isinstance(field, str) else field
        parts += [len(data).to_bytes(4), data]
    return b"".join(parts)


def _depth(data: bytes) -> int:
    if data.count(b"[") + data.count(b"{") <= 1:
        return 1
    depth = deepest = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):  # RFC 8725 section 2.4, RFC 8259 section 4
        raise ValueError("a member is repeated")
    return members


def _refuse_constant(_text: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")


def _exact_integer(text: str) -> int:
    value = int(text)
    if abs(value) > MAX_INTEGER:
        raise ValueError("an integer is not exact")
    return value


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_constant=_refuse_constant,
    parse_int=_exact_integer,
    parse_float=_finite_number,
)


def _refuse_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise StrictFormError("lone_surrogate") from None
