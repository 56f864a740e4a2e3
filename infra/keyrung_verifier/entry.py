"""From an HTTP request to an HTTP reply, without any server: what every shell shares.

A shell turns its own event into a `WebRequest`, calls `serve`, and sends the `Reply`. Which paths exist, which of
them need a client's credentials, and what an error looks like is decided here and nowhere else.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import msgspec

from keyrung_verifier import paths
from keyrung_verifier.callers import Caller
from keyrung_verifier.errors import CallerRefusedError, NotFoundError, RefusedError, UnexpectedError
from keyrung_verifier.limits import TOKEN_ID_BYTES
from keyrung_verifier.service import Answer, Verifier

_LOG = logging.getLogger(__name__)
HTTP_OK = 200
HTTP_CREATED = 201
HTTP_ACCEPTED = 202  # a right answer, and another one is needed besides
# Longest challenge id that is looked up; ours have 43 characters.
MAX_CHALLENGE_ID_CHARS = 128
# What of a caller's own request id is repeated in the reply: printable, and short enough for any log.
_REQUEST_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
# In a refusal while the random source fails; no record has it.
NO_CORRELATION_ID = "0" * 2 * TOKEN_ID_BYTES
BASE_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",  # RFC 6749 section 5.1: nothing with a token in it may be kept
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRequest:
    """What of an HTTP request counts.

    Attributes:
        authorization: That header's value.
        dpop: That header's value; several of them joined by a comma are refused.
        request_id: The value of X-Request-ID, which the reply repeats.
        traceparent: That header's value, for the shell's own log.
        principal: The ARN of the IAM identity that the platform has authenticated; never taken from a header.
    """

    method: str
    path: str
    authorization: str | None = field(default=None, repr=False)
    dpop: str | None = field(default=None, repr=False)
    request_id: str | None = None
    traceparent: str | None = None
    principal: str | None = None
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to send back.

    Attributes:
        error: Of a refusal, its code, as the body has it.
        correlation_id: Of a refusal, as the body has it.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: dict(BASE_HEADERS))
    error: str | None = None
    correlation_id: str | None = None


@cache
def _openapi() -> Answer:
    from keyrung_verifier.openapi import openapi_document  # noqa: PLC0415 - a cold start seldom needs it

    return openapi_document()


# Operations of authenticated applications: (method, path) -> operation and the status of success.
_CALLER_ROUTES: Mapping[tuple[str, str], tuple[Callable[[Verifier, Caller, bytes], Answer], int]] = {
    ("POST", paths.EVALUATION): (Verifier.evaluate, HTTP_OK),
    ("POST", paths.EVALUATIONS): (Verifier.evaluate_many, HTTP_OK),
    ("POST", paths.CHALLENGES): (Verifier.create_challenge, HTTP_CREATED),
    ("POST", paths.SPEND): (Verifier.spend, HTTP_OK),
}
# What everybody may read.
_PUBLIC_ROUTES: Mapping[tuple[str, str], Callable[[Verifier], Answer]] = {
    ("GET", paths.JWKS): Verifier.jwks,
    ("GET", paths.AUTHZEN_CONFIGURATION): Verifier.authzen_configuration,
    ("GET", paths.HEALTH): Verifier.health,
    ("GET", paths.OPENAPI): lambda _verifier: _openapi(),
}


def serve(verifier: Verifier, request: WebRequest) -> Reply:
    """Return the reply to a request; no exception leaves."""
    headers: dict[str, str] = dict(BASE_HEADERS)
    try:
        headers |= _extra_headers(verifier, request)
        status, answer = _dispatch(verifier, request)
    except RefusedError as error:
        return _refusal(verifier, error, headers)
    except Exception as error:  # the last line: whatever it was, the answer is a refusal without details
        _LOG.error("unexpected %s", type(error).__name__)
        return _refusal(verifier, UnexpectedError("unexpected"), headers)
    return Reply(status=status, body=_encode(answer), headers=headers)


def _extra_headers(verifier: Verifier, request: WebRequest) -> dict[str, str]:
    headers: dict[str, str] = {}
    if request.request_id is not None and _REQUEST_ID.fullmatch(request.request_id):
        headers["X-Request-ID"] = request.request_id  # AuthZEN 1.0 section 10.1.4
    if request.path == paths.SPEND or f"{request.path}/".startswith(f"{paths.CHALLENGES}/"):
        headers["DPoP-Nonce"] = verifier.dpop_nonce()  # RFC 9449 section 8.2: where a proof may come next
    return headers


def _dispatch(verifier: Verifier, request: WebRequest) -> tuple[int, Answer]:
    route = request.method, request.path
    if route in _CALLER_ROUTES:
        operation, status = _CALLER_ROUTES[route]
        return status, operation(
            verifier, verifier.authenticate(request.authorization, request.principal), request.body
        )
    if route in _PUBLIC_ROUTES:
        return HTTP_OK, _PUBLIC_ROUTES[route](verifier)
    prefix, _, rest = request.path.partition(f"{paths.CHALLENGES}/")
    if prefix == "" and request.method == "GET" and _is_id(rest):
        return HTTP_OK, verifier.read_challenge(rest)
    challenge_id = rest.removesuffix(paths.RESPONSE_SUFFIX)
    if prefix == "" and request.method == "POST" and challenge_id != rest and _is_id(challenge_id):
        answer = verifier.respond(challenge_id, request.body, request.dpop)
        return HTTP_OK if "assertion" in answer else HTTP_ACCEPTED, answer
    raise NotFoundError("no_route")


def _is_id(text: str) -> bool:
    return 0 < len(text) <= MAX_CHALLENGE_ID_CHARS and "/" not in text


def _refusal(verifier: Verifier, error: RefusedError, headers: dict[str, str]) -> Reply:
    return refusal(error, headers, correlation_id=error.correlation_id or _correlation_id(verifier))


def refusal(error: RefusedError, headers: Mapping[str, str] = BASE_HEADERS, *, correlation_id: str) -> Reply:
    """Return the reply that refuses; for shells, where there is no request or no verifier to ask."""
    headers = dict(headers)
    if error.status == CallerRefusedError.status:
        headers["WWW-Authenticate"] = 'Basic realm="keyrung", charset="UTF-8"'  # RFC 7617 section 2
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    answer: Answer = {
        "error": error.error,
        "error_description": error.description,
        "correlation_id": correlation_id,
    }
    return Reply(
        status=error.status,
        body=_encode(answer),
        headers=headers,
        error=error.error,
        correlation_id=correlation_id,
    )


def _correlation_id(verifier: Verifier) -> str:
    try:
        return verifier.new_correlation_id()
    except Exception:  # the random source itself fails: the refusal keeps its form, and names no call
        return NO_CORRELATION_ID


def _encode(answer: Answer) -> bytes:
    return msgspec.json.encode(answer)
