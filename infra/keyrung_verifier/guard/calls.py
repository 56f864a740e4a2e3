"""The guard's dialogue with the verifier, as steps that a shell carries out: each yields a call and takes the answer.

Every answer that is not exactly understood means that the verifier can't be asked now, and the request ends.
"""

import base64
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote_plus

import msgspec
from msgspec import Meta, Struct

from keyrung_verifier.guard.model import Refusal, assertion_refused, unavailable

T = TypeVar("T")

MAX_ANSWER_BYTES = 64 * 1024  # the verifier's longest answer, a key set, has a few KiB
VERIFIER_DEADLINE_SECONDS = 5.0  # for one whole answer, so that a verifier that drips can't hold requests

_OK, _CREATED, _BAD_REQUEST, _FORBIDDEN = 200, 201, 400, 403
# What can stand in a quoted header parameter without escapes (RFC 9110 section 5.6.4).
_HeaderText = Annotated[str, Meta(pattern=r"\A[!#-\[\]-~]+\Z")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to send to the verifier, complete with its headers."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the verifier said; a shell never follows a redirect."""

    status: int
    content: bytes = field(repr=False)


# Nothing came within the deadline, or more than is read.
NO_ANSWER = Answer(status=0, content=b"")

Steps = Generator[Call, Answer, T]
# (method, url, body) -> headers that prove who calls.
Authenticate = Callable[[str, str, bytes], Mapping[str, str]]


def client_credentials(client_id: str, client_secret: str) -> Authenticate:
    """Return what proves an application's identity by its id and secret."""
    # RFC 6749 section 2.3.1: both are form-encoded before they become Basic credentials.
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode("ascii")
    header = {"authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
    return lambda _method, _url, _body: header


class Context(Struct):
    """What stands beside a decision; without a word about it, a step-up pays once."""

    outcome: Literal["allow", "step_up", "deny"]
    policy_digest: str
    acr_values: list[_HeaderText] = []
    max_age: Annotated[int, Meta(ge=0)] | None = None
    bind: list[str] = []
    single_use: bool = True
    batch: dict[str, int] | None = None

    @property
    def counted(self) -> bool:
        """Return whether the verifier has to count what a step-up pays for."""
        return self.single_use or self.batch is not None


class _Decision(Struct):
    decision: bool
    context: Context


class _Challenge(Struct):
    stepup_uri: _HeaderText


class _Spent(Struct):
    spent: bool
    sub: str


class _Refused(Struct):
    error: str


class _KeySet(Struct):
    keys: list[dict[str, str]]


class VerifierCalls:
    """The verifier's operations."""

    def __init__(self, url: str, authenticate: Authenticate) -> None:
        self._url, self._authenticate = url, authenticate

    def decide(self, asked: Mapping[str, object]) -> Steps[Context]:
        """Return whether the request may pass, or with what step-up; a denial ends it.

        The answer is that of the AuthZEN Authorization API 1.0 section 6.2.
        """
        status, content = yield from self._ask("POST", "/access/v1/evaluation", asked)
        if status == _BAD_REQUEST:
            raise Refusal(400, "invalid_request", "the verifier can't read the attributes")
        answer = _decode(content, _Decision) if status == _OK else unavailable(f"evaluation {status}")
        context = answer.context
        if answer.decision != (context.outcome == "allow"):
            unavailable("contradiction")
        if context.outcome == "deny":
            raise Refusal(403, "access_denied", "policy")
        if context.outcome == "step_up" and (not context.acr_values or context.max_age is None):
            raise Refusal(403, "unmet_authentication_requirements", "no level named")
        return context

    def challenge(self, asked: Mapping[str, object]) -> Steps[str]:
        """Return where the subject steps up for this request."""
        status, content = yield from self._ask("POST", "/stepup/v1/challenges", asked)
        if status == _FORBIDDEN and _decode(content, _Refused).error == "unmet_authentication_requirements":
            raise Refusal(403, "unmet_authentication_requirements", "level out of reach")
        return (_decode(content, _Challenge) if status == _CREATED else unavailable(f"challenge {status}")).stepup_uri

    def spend(self, text: str, subject_id: str, asked: Mapping[str, object]) -> Steps[None]:
        """Let the assertion pay for the request; return only when the verifier has checked and counted it."""
        status, content = yield from self._ask("POST", "/stepup/v1/assertions/spend", {**asked, "assertion": text})
        if status in {_BAD_REQUEST, _FORBIDDEN}:
            raise assertion_refused("spend")
        spent = _decode(content, _Spent) if status == _OK else unavailable(f"spend {status}")
        if not spent.spent or spent.sub != subject_id:
            unavailable("spent another assertion")

    def keys(self) -> Steps[Mapping[str, Mapping[str, str]]]:
        """Return the published keys by key id."""
        status, content = yield from self._ask("GET", "/.well-known/jwks.json", None)
        found = (_decode(content, _KeySet) if status == _OK else unavailable(f"key set {status}")).keys
        keys = {key.get("kid", ""): key for key in found}
        if len(keys) != len(found) or "" in keys:  # two keys under one name: nobody knows which is meant
            unavailable("key set with a repeated or missing kid")
        return keys

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> Steps[tuple[int, bytes]]:
        content = b"" if body is None else json.dumps(body).encode("ascii")
        url = self._url + path
        # Not compressed: what is read is bounded as it comes.
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        headers |= self._authenticate(method, url, content)
        answer = yield Call(method=method, url=url, headers=headers, body=content)
        return answer.status, answer.content


def _decode(content: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.MsgspecError:  # its text may quote the answer, so it is not kept
        unavailable("answer of another shape")
