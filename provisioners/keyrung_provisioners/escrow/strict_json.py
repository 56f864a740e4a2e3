"""JSON read strictly: one meaning only, or refused. Files of an escrow come from other machines and other people."""

import json
from typing import Any, TypeVar

import msgspec

from keyrung_provisioners.encoding import base64url, from_base64url

T = TypeVar("T")

MAX_DOCUMENT_BYTES = 256 * 1024  # an envelope of 16 shares is about 20 KiB


class StrictFormError(ValueError):
    """The document has another form; the text says where, and repeats nothing of its content."""


def read(data: bytes, form: type[T]) -> T:
    """Return ``data`` as ``form``; repeated members, unknown ones, NaN, other types and over-long input are refused."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise StrictFormError("it is too long")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_unrepeated, parse_constant=_no_constant)
        return msgspec.convert(document, form, strict=True)
    except StrictFormError:
        raise
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise StrictFormError("it is no JSON text") from error
    except msgspec.ValidationError as error:
        raise StrictFormError(f"it has another form ({error})") from error


def write(document: dict[str, Any]) -> bytes:
    """Return ``document`` as indented JSON with sorted members, for files that people look into."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True).encode("ascii") + b"\n"


def canonical(document: dict[str, Any]) -> bytes:
    """Return ``document`` in RFC 8785 form; ours hold ASCII texts and small integers only, which needs no more."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=True).encode("ascii")


def unbase64url(text: str) -> bytes:
    """Return what ``text`` encodes, if it is the one unpadded base64url text of it (RFC 4648 section 3.5)."""
    try:
        data = from_base64url(text)
    except ValueError as error:
        raise StrictFormError("it holds a text that is no base64url") from error
    if base64url(data) != text:
        raise StrictFormError("it holds a text that is no canonical base64url")
    return data


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictFormError("it repeats a member")
    return members


def _no_constant(_text: str) -> None:
    raise StrictFormError("it holds NaN or Infinity")
