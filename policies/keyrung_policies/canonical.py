"""Canonical JSON (RFC 8785), so that one policy has one digest and one byte form to sign.

Only the kinds our documents use are accepted. Floating-point numbers are refused rather than formatted:
nothing here needs them, and their form is the one hard part of the RFC.
"""

import json

import msgspec

from keyrung_policies.errors import CanonicalError
from keyrung_policies.model import MAX_INTEGER

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def canonical_bytes(value: object) -> bytes:
    """Return the RFC 8785 form of a JSON value.

    Args:
        value: None, bool, int, str, and lists, tuples and dicts of these.

    Raises:
        CanonicalError: The value holds something that has no exact JSON form.
    """
    try:
        # Python escapes exactly what section 3.2.2.2 lists, with lower-case hex, once ensure_ascii is off.
        return _ENCODER.encode(_ordered(value)).encode("utf-8")
    except UnicodeEncodeError as error:
        # Section 3.2.2.2: a lone surrogate must stop the run.
        raise CanonicalError("a text holds a lone surrogate; remove it.") from error
    except RecursionError as error:
        raise CanonicalError("the value is nested too deeply; flatten it.") from error


def canonical_record(record: msgspec.Struct) -> bytes:
    """Return the RFC 8785 form of a record whose types hold neither floats nor bytes: that of its builtins, in C.

    The library orders names by UTF-8, which for ASCII is the order of section 3.2.3; all names in these records are
    ASCII. It escapes what section 3.2.2.2 lists and nothing else.
    """
    return msgspec.json.encode(record, order="sorted")


def _ordered(value: object) -> object:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if isinstance(value, int) and kind is int:
        if abs(value) > MAX_INTEGER:
            raise CanonicalError(f"an integer exceeds {MAX_INTEGER}; carry it as text.")
        return value
    if isinstance(value, (list, tuple)):
        return [_ordered(item) for item in value]
    if isinstance(value, dict):
        return _ordered_members(value)
    raise CanonicalError(f"a value of type {kind.__name__} has no canonical form; use text, integers or booleans.")


def _utf16_units(name: str) -> bytes:
    return name.encode("utf-16-be")


def _ordered_members(members: dict[object, object]) -> dict[str, object]:
    names: list[str] = []
    for name in members:
        if not isinstance(name, str):
            raise CanonicalError("a member name is not text; use text names only.")
        names.append(name)
    # Section 3.2.3: names are ordered by their UTF-16 code units, not by code points.
    # For ASCII names, which ours nearly always are, the two orders are the same.
    names.sort(key=None if "".join(names).isascii() else _utf16_units)
    return {name: _ordered(members[name]) for name in names}
