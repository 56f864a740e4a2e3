"""The guard's dialogue with the verifier, as steps that a shell carries out: each yields a call and takes the answer.

Every answer that is not exactly understood means that the verifier can't be asked now, and the request ends.
"""

import base64
import json
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import quote_plus

import msgspec

from keyrung_verifier.guard.challenges import key_not_proved
from keyrung_verifier.guard.messages import (
    Answer,
    Call,
    Challenge,
    Context,
    Decision,
    HeaderText,
    KeySet,
    Refused,
    Spent,
    Steps,
)
from keyrung_verifier.guard.model import Refusal, assertion_refused, unavailable

T = TypeVar("T")

_OK, _CREATED, _BAD_REQUEST, _FORBIDDEN = 200, 201, 400, 403
# (method, url, body) -> headers that prove who calls.
Authenticate = Callable[[str, str, bytes], Mapping[str, str]]


def client_credentials(client_id: str, client_secret: str) -> Authenticate:
    """Return what proves an application's identity by its id and secret."""
    # RFC 6749 section 2.3.1: both are form-encoded before they become Basic credentials.
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode("ascii")
    header = {"authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
    return lambda _method, _url, _body: header


class VerifierCalls:
    """The verifier's operations."""

    def __init__(self, url: str, authenticate: Authenticate) -> None:
        self._url, self._authenticate = url, authenticate

    def decide(self, asked: Mapping[str, object]) -> Steps[Context]:
        """Return whether the request may pass, or with what step-up; a denial ends it.

        The answer is that of the AuthZEN Authorization API 1.0 section 6.2.
        """
        answer = yield from self._ask("POST", "/access/v1/evaluation", asked)
        if answer.status == _BAD_REQUEST:
            raise Refusal(400, "invalid_request", "the verifier can't read the attributes")
        decision = _decode(answer, Decision) if answer.status == _OK else unavailable(f"evaluation {answer.status}")
        context = decision.context
        if decision.decision != (context.outcome == "allow"):
            unavailable("contradiction")
        if context.outcome == "deny":
            raise Refusal(403, "access_denied", "policy")
        if context.outcome == "step_up" and (not context.acr_values or context.max_age is None):
            raise Refusal(403, "unmet_authentication_requirements", "no level named")
        return context

    def challenge(self, asked: Mapping[str, object]) -> Steps[Challenge]:
        """Return where the subject steps up for this request."""
        answer = yield from self._ask("POST", "/stepup/v1/challenges", asked)
        if answer.status == _FORBIDDEN and _error_of(answer) == "unmet_authentication_requirements":
            raise Refusal(403, "unmet_authentication_requirements", "level out of reach")
        made = _decode(answer, Challenge) if answer.status == _CREATED else unavailable(f"challenge {answer.status}")
        return msgspec.structs.replace(made, dpop_nonce=_nonce_of(answer))

    def spend(self, text: str, subject_id: str, asked: Mapping[str, object]) -> Steps[None]:
        """Let the assertion pay for the request; return only when the verifier has checked and counted it."""
        answer = yield from self._ask("POST", "/stepup/v1/assertions/spend", {**asked, "assertion": text})
        if answer.status == _BAD_REQUEST and (error := _error_of(answer)) in {"invalid_dpop_proof", "use_dpop_nonce"}:
            raise key_not_proved(error, "spend", nonce=_nonce_of(answer))
        if answer.status in {_BAD_REQUEST, _FORBIDDEN}:
            raise assertion_refused("spend")
        spent = _decode(answer, Spent) if answer.status == _OK else unavailable(f"spend {answer.status}")
        if not spent.spent or spent.sub != subject_id:
            unavailable("spent another assertion")

    def keys(self) -> Steps[Mapping[str, Mapping[str, str]]]:
        """Return the published keys by key id."""
        answer = yield from self._ask("GET", "/.well-known/jwks.json", None)
        found = (_decode(answer, KeySet) if answer.status == _OK else unavailable(f"key set {answer.status}")).keys
        keys = {key.get("kid", ""): key for key in found}
        if len(keys) != len(found) or "" in keys:  # two keys under one name: nobody knows which is meant
            unavailable("key set with a repeated or missing kid")
        return keys

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> Steps[Answer]:
        content = b"" if body is None else json.dumps(body).encode("ascii")
        url = self._url + path
        # Not compressed: what is read is bounded as it comes.
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        headers |= self._authenticate(method, url, content)
        return (yield Call(method=method, url=url, headers=headers, body=content))


def _error_of(answer: Answer) -> str:
    return _decode(answer, Refused).error


def _nonce_of(answer: Answer) -> str | None:
    try:
        return msgspec.convert(answer.dpop_nonce, HeaderText | None)
    except msgspec.ValidationError:  # its text may quote the answer, so it is not kept
        unavailable("nonce of another form")


def _decode(answer: Answer, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=shape)
    except msgspec.MsgspecError:  # its text may quote the answer, so it is not kept
        unavailable("answer of another shape")
