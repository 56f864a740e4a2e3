"""The guard's calls to the verifier, and its copy of the verifier's public keys.

Every answer that is not exactly understood means that the verifier can't be asked now, and the request ends.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote_plus

import httpx
import msgspec
from msgspec import Meta, Struct

from keyrung_verifier import assertion
from keyrung_verifier.guard.model import Refusal, assertion_refused, unavailable

T = TypeVar("T")

MAX_ANSWER_BYTES = 64 * 1024  # the verifier's longest answer, a key set, has a few KiB
VERIFIER_DEADLINE_SECONDS = 5.0  # for one whole answer, so that a verifier that drips can't hold requests
JWKS_REFRESH_SECONDS = 60.0  # a retired key is gone from here after this
JWKS_EXPIRY_SECONDS = 300.0  # a set that can't be renewed is used no longer: the longest life of an assertion
JWKS_PAUSE_SECONDS = 5.0  # between two fetches, whatever key ids clients make up

_LOG = logging.getLogger(__name__)
_OK, _CREATED, _BAD_REQUEST, _FORBIDDEN = 200, 201, 400, 403
# What can stand in a quoted header parameter without escapes (RFC 9110 section 5.6.4).
_HeaderText = Annotated[str, Meta(pattern=r"\A[!#-\[\]-~]+\Z")]


class Context(Struct):
    """What stands beside a decision."""

    outcome: Literal["allow", "step_up", "deny"]
    policy_digest: str
    acr_values: list[_HeaderText] = []
    max_age: Annotated[int, Meta(ge=0)] | None = None


class Decision(Struct):
    """The answer to an evaluation (AuthZEN Authorization API 1.0 section 6.2)."""

    decision: bool
    context: Context


class Challenge(Struct):
    """Where the subject steps up."""

    stepup_uri: _HeaderText


class _Spent(Struct):
    spent: bool
    sub: str
    jti: str


class _Refused(Struct):
    error: str


class _KeySet(Struct):
    keys: list[dict[str, str]]


def verifier_client(ca_file: Path | None = None) -> httpx.AsyncClient:
    """Return a client that trusts the given CA only, or the system's.

    It takes no advice from the environment: a proxy variable must not redirect decisions.
    """
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    return httpx.AsyncClient(verify=context, timeout=VERIFIER_DEADLINE_SECONDS, trust_env=False)


class VerifierCalls:
    """The verifier's operations; every answer that is not understood means that it can't be asked now."""

    def __init__(self, http: httpx.AsyncClient, url: str, client_id: str, client_secret: str) -> None:
        self._http, self._url = http, url
        # RFC 6749 section 2.3.1: both are form-encoded before they become Basic credentials.
        self._auth = httpx.BasicAuth(quote_plus(client_id), quote_plus(client_secret))

    async def decide(self, asked: Mapping[str, object]) -> Decision:
        """Return whether the request may pass, or with what step-up; a denial ends it."""
        status, content = await self._call("POST", "/access/v1/evaluation", asked)
        if status == _BAD_REQUEST:
            raise Refusal(400, "invalid_request", "the verifier can't read the attributes")
        answer = _decode(content, Decision) if status == _OK else unavailable(f"evaluation {status}")
        outcome = answer.context.outcome
        if answer.decision != (outcome == "allow"):
            unavailable("contradiction")
        if outcome == "deny":
            raise Refusal(403, "access_denied", "policy")
        if outcome == "step_up" and (not answer.context.acr_values or answer.context.max_age is None):
            raise Refusal(403, "unmet_authentication_requirements", "no level named")
        return answer

    async def challenge(self, asked: Mapping[str, object]) -> Challenge:
        """Return a new challenge for the request."""
        status, content = await self._call("POST", "/stepup/v1/challenges", asked)
        if status == _FORBIDDEN and _decode(content, _Refused).error == "unmet_authentication_requirements":
            raise Refusal(403, "unmet_authentication_requirements", "level out of reach")
        return _decode(content, Challenge) if status == _CREATED else unavailable(f"challenge {status}")

    async def spend(self, text: str, claims: assertion.Claims, bound: Mapping[str, str]) -> None:
        """Use up the assertion for the request; return only when the verifier has done so."""
        body = {"assertion": text, "session": {"id": claims.sid}, "request": bound}
        status, content = await self._call("POST", "/stepup/v1/assertions/spend", body)
        if status == _FORBIDDEN:
            raise assertion_refused("spend")
        spent = _decode(content, _Spent) if status == _OK else unavailable(f"spend {status}")
        if not spent.spent or (spent.sub, spent.jti) != (claims.sub, claims.jti):
            unavailable("spent another assertion")

    async def keys(self) -> Mapping[str, Mapping[str, str]]:
        """Return the published keys by key id."""
        status, content = await self._call("GET", "/.well-known/jwks.json", None)
        found = (_decode(content, _KeySet) if status == _OK else unavailable(f"key set {status}")).keys
        keys = {key.get("kid", ""): key for key in found}
        if len(keys) != len(found) or "" in keys:  # two keys under one name: nobody knows which is meant
            unavailable("key set with a repeated or missing kid")
        return keys

    async def _call(self, method: str, path: str, body: Mapping[str, object] | None) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body).encode("ascii")
        auth = None if body is None else self._auth
        headers = {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(VERIFIER_DEADLINE_SECONDS):
                answer = await self._http.request(
                    method, self._url + path, content=content, headers=headers, auth=auth, follow_redirects=False
                )
        except (httpx.HTTPError, TimeoutError) as error:
            unavailable(type(error).__name__)
        if len(answer.content) > MAX_ANSWER_BYTES:
            unavailable("answer too long")
        return answer.status_code, answer.content


class KeyCache:
    """The verifier's public keys: renewed now and then, and once for an unknown key id; never used when too old."""

    def __init__(self, verifier: VerifierCalls, now: Callable[[], datetime]) -> None:
        self._verifier, self._now, self._lock = verifier, now, asyncio.Lock()
        self._keys: Mapping[str, Mapping[str, str]] = {}
        self._fetched_at_seconds = self._tried_at_seconds = float("-inf")

    async def current(self, *, renew: bool = False) -> Mapping[str, Mapping[str, str]]:
        """Return the keys; `renew` asks for newer ones, unless that was tried just now."""
        async with self._lock:
            now_seconds = self._now().timestamp()
            stale = renew or abs(now_seconds - self._fetched_at_seconds) >= JWKS_REFRESH_SECONDS
            if stale and abs(now_seconds - self._tried_at_seconds) >= JWKS_PAUSE_SECONDS:
                self._tried_at_seconds = now_seconds
                try:
                    self._keys, self._fetched_at_seconds = await self._verifier.keys(), now_seconds
                except Refusal as refusal:
                    _LOG.warning("the key set was not renewed: %s", refusal.reason)
            if abs(now_seconds - self._fetched_at_seconds) >= JWKS_EXPIRY_SECONDS:  # a clock set back expires it too
                unavailable("no key set that is fresh enough")
            return self._keys


def _decode(content: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.MsgspecError:  # its text may quote the answer, so it is not kept
        unavailable("answer of another shape")
