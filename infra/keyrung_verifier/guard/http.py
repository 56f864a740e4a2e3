"""The ASGI side of the guard: what is read from a request, and how a refusal is sent."""

import base64
import hashlib
import json
import logging
import re
import secrets

from keyrung_verifier.guard.model import GuardConfigError, Message, Receive, Refusal, Scope, Send

ASSERTION_HEADER = b"step-up-assertion"
MAX_BODY_BYTES = 1024 * 1024  # the body is held in memory while the verifier decides

_LOG = logging.getLogger(__name__)
_SERVER_ERRORS = 500  # from here on the operator has to look (RFC 9110 section 15.6)
# One assertion in one header: three base64url parts (RFC 7515 section 3.1).
_COMPACT_JWS = re.compile(rb"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_ROUTE = re.compile(r"(?P<method>[A-Z]+) (?P<path>/[^\s{}]*(?:\{[a-z_]+\}[^\s{}]*)*)", re.ASCII)
# What a request target may consist of (RFC 3986 sections 3.3 and 3.4), beginning with one slash.
_TARGET = re.compile(rb"/[!$-;=?-Z_a-z~\[\]]*", re.ASCII)
_DESCRIPTIONS = {
    "invalid_request": "The request is malformed.",
    "unauthenticated": "Sign in first.",
    "insufficient_user_authentication": "A step-up is needed for this request.",
    "unmet_authentication_requirements": "The level that this request needs can't be reached.",
    "access_denied": "This request is not allowed.",
    "assertion_refused": "The step-up does not fit this request; repeat it without the assertion.",
    "not_found": "There is nothing here.",
    "body_too_large": "The request's body is too large.",
    "temporarily_unavailable": "This request can't be decided now; try again later.",
    "server_error": "The request could not be processed.",
}


class ClientGoneError(Exception):
    """The client went away: there is nobody to answer."""


def compile_route(route: str) -> tuple[str, re.Pattern[str]]:
    """Return the method and path pattern of "METHOD /path/{parameter}"; a parameter stands for one segment."""
    found = _ROUTE.fullmatch(route)
    if found is None:
        raise GuardConfigError(f"The route {route!r} must read like 'POST /transfers/{{id}}'.")
    parts = re.split(r"\{([a-z_]+)\}", found["path"])
    # No control character: a router whose patterns end in `$` also takes a path that ends in a line feed, so
    # "/reports/export%0A" would be {id} here and `export` there.
    pattern = "".join(
        f"(?P<{part}>[^/\\x00-\\x1f\\x7f]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )
    return found["method"], re.compile(pattern)


def assertion_of(scope: Scope) -> str | None:
    """Return the assertion that the request brings; two of them, or something else there, is refused."""
    values = [value for name, value in scope["headers"] if name.lower() == ASSERTION_HEADER]
    if not values:
        return None
    if len(values) > 1 or _COMPACT_JWS.fullmatch(values[0]) is None:
        raise Refusal(400, "invalid_request", "assertion header malformed or repeated")
    return bytes(values[0]).decode("ascii")


def target_of(scope: Scope) -> str:
    """Return path and query exactly as they came in; the decoded path would let two requests look alike."""
    target = bytes(scope.get("raw_path") or b"")
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    if _TARGET.fullmatch(target) is None:
        raise Refusal(400, "invalid_request", "request target malformed")
    return target.decode("ascii")


async def read_body(receive: Receive) -> bytes:
    """Return the whole body, or refuse it as soon as it is longer than allowed."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise Refusal(413, "body_too_large", "body")
        if not message.get("more_body", False):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the application the body that was decided on, then what comes after it."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed


async def answer(refusal: Refusal, send: Send) -> None:
    """Send a refusal: generic text and an id that the log knows, nothing about why."""
    correlation_id = secrets.token_urlsafe(12)  # a label for the log, no secret and no part of any decision
    level = logging.WARNING if refusal.status >= _SERVER_ERRORS else logging.INFO
    _LOG.log(level, "refused %s %s: %s", refusal.error, correlation_id, refusal.reason)
    members = {
        "error": refusal.error,
        "error_description": _DESCRIPTIONS[refusal.error],
        "correlation_id": correlation_id,
    }
    body = json.dumps(members).encode("ascii")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    encoded = [(name.lower().encode(), value.encode()) for name, value in (headers | refusal.headers).items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def sha256_base64url(data: bytes) -> str:
    """Return base64url of SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
