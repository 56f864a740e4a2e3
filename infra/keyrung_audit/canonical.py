"""Strict JSON and base64url for the reader, written apart from the writer's so that one mistake can't hide in both."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import NoReturn, TypeAlias

from keyrung_audit.errors import NotCanonicalError

JsonValue: TypeAlias = "bool | int | str | list[JsonValue] | dict[str, JsonValue] | None"

# RFC 8785 writes numbers as IEEE 754 doubles: beyond this an integer has no exact form.
MAX_SAFE_INTEGER = 2**53 - 1

# RFC 8785 3.2: no white space, and only the escapes that JSON demands, which is what this encoder writes.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def load_canonical(data: bytes) -> JsonValue:
    """Return the value whose RFC 8785 form is exactly `data`.

    Raises:
        NotCanonicalError: `data` is not JSON, repeats a member, holds a fraction, or is written in another form.
    """
    try:
        value: JsonValue = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_sorted_members,
            parse_int=_exact_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        canonical = _ENCODER.encode(value).encode("utf-8")
    except (ValueError, RecursionError) as error:  # UnicodeError and JSONDecodeError are ValueErrors
        raise NotCanonicalError("it is not JSON of integers, texts, booleans, null, lists and objects") from error
    if canonical != data:
        raise NotCanonicalError("it is not in canonical form (RFC 8785)")
    return value


def decode_base64url(text: str) -> bytes:
    """Return the bytes of unpadded base64url that has one spelling only (RFC 7515 2, RFC 4648 3.5)."""
    if not _BASE64URL.fullmatch(text):
        raise NotCanonicalError("it is not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise NotCanonicalError("it is not base64url") from error
    if encode_base64url(data) != text:
        raise NotCanonicalError("its base64url has stray bits")
    return data


def encode_base64url(data: bytes) -> str:
    """Return unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _sorted_members(pairs: Sequence[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    # RFC 8785 3.2.3: members are sorted by their UTF-16 code units.
    members = dict(sorted(pairs, key=lambda pair: pair[0].encode("utf-16-be")))
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def _exact_integer(text: str) -> int:
    value = int(text)
    if abs(value) > MAX_SAFE_INTEGER:
        raise ValueError("integer beyond the exact range")
    return value


def _refuse_number(_text: str) -> NoReturn:
    raise ValueError("fraction, exponent or not a number")
