"""The request in an event that AWS Lambda gets from an API: payload formats 2.0 and 1.0 of its developer guide."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Literal, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Struct, field

from keyrung_verifier.guard.model import Head, Refusal

_Event = TypeVar("_Event", bound=Struct)

# A path without escapes: gateways differ in what they decode, and code behind them may decode once more.
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*", re.ASCII)


class _Http(Struct, frozen=True, kw_only=True):
    method: str


class _HttpContext(Struct, frozen=True, kw_only=True):
    http: _Http


class _HttpEvent(Struct, frozen=True, kw_only=True, rename="camel"):
    """Of an HTTP API or a function URL; a repeated header comes as one, joined by commas."""

    version: Literal["2.0"]
    raw_path: str
    raw_query_string: str
    headers: dict[str, str]
    request_context: _HttpContext


class _RestContext(Struct, frozen=True, kw_only=True):
    path: str


class _RestEvent(Struct, frozen=True, kw_only=True, rename="camel"):
    """Of a REST API; `path` is without the stage or base path that clients write in front, the context's is with it."""

    http_method: str
    path: str
    multi_value_headers: dict[str, list[str]]
    multi_value_query_string_parameters: dict[str, list[str]] | None
    request_context: _RestContext


class _Body(Struct, frozen=True, kw_only=True, rename="camel"):
    body: str | None = None
    is_base64_encoded: bool = field(name="isBase64Encoded", default=False)


def head_of(event: object) -> Head:
    """Return the head of the request, with the path as the event has it."""
    if isinstance(event, Mapping) and event.get("version") == "2.0":
        head = _http_head(_convert(event, _HttpEvent))
    else:
        head = _rest_head(_convert(event, _RestEvent))
    if _PATH.fullmatch(head.path) is None:
        raise Refusal(400, "invalid_request", "path malformed")
    return head


def body_of(event: object) -> bytes:
    """Return the body's bytes."""
    found = _convert(event, _Body)
    text = found.body or ""
    try:
        return base64.b64decode(text, validate=True) if found.is_base64_encoded else text.encode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, "invalid_request", "event body malformed") from error


def _http_head(event: _HttpEvent) -> Head:
    query = f"?{event.raw_query_string}" if event.raw_query_string else ""
    return Head(
        method=event.request_context.http.method,
        path=event.raw_path,
        target=event.raw_path + query,
        headers=[(name.lower(), value) for name, value in event.headers.items()],
    )


def _rest_head(event: _RestEvent) -> Head:
    # There is no raw query: the parameters, which is what the function sees, are written out again in one order.
    parameters = sorted((event.multi_value_query_string_parameters or {}).items())
    query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
    return Head(
        method=event.http_method,
        path=event.path,
        target=event.request_context.path + query,
        headers=[(name.lower(), value) for name, values in event.multi_value_headers.items() for value in values],
    )


def _convert(event: object, shape: type[_Event]) -> _Event:
    try:
        return msgspec.convert(event, shape, strict=True)
    except msgspec.ValidationError:  # its text may quote the event, so it is not kept
        raise Refusal(400, "invalid_request", "event of another shape") from None
