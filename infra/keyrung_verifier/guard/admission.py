"""What the guard decides about a request: which action it is, what to ask, whether what it brings is good enough.

Nothing here reads or sends: a shell hands over the request and carries out the steps.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from keyrung_policies.satisfaction import age_met, level_met
from keyrung_verifier import assertion
from keyrung_verifier.guard.calls import Authenticate, VerifierCalls
from keyrung_verifier.guard.challenges import step_up_needed
from keyrung_verifier.guard.keys import KeyCache
from keyrung_verifier.guard.messages import Context, Steps
from keyrung_verifier.guard.model import (
    Action,
    GuardConfigError,
    GuardedRequest,
    Head,
    Refusal,
    Session,
    assertion_refused,
    sha256_base64url,
)
from keyrung_verifier.guard.possession import check_scheme, proof_of
from keyrung_verifier.guard.routes import Routes, check_target

ASSERTION_HEADER = "step-up-assertion"
MAX_BODY_BYTES = 1024 * 1024  # the body is held in memory while the verifier decides

_BASE_URL = re.compile(r"https://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[\w.~-]+)*/?", re.ASCII)
# One assertion in one header: three base64url parts (RFC 7515 section 3.1).
_COMPACT_JWS = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request whose head is in order; its body is still to be read."""

    head: Head
    action: Action
    params: Mapping[str, str]
    session: Session
    assertion: str | None = field(repr=False)


class Guard:
    """The decisions of one application.

    Args:
        verifier_url: Where the verifier answers, https.
        public_url: The application's own https base URL as clients know it; never taken from a Host header.
        authenticate: Proves to the verifier who calls (see `client_credentials`).
        routes: "METHOD /path/{parameter}" to action.
        identify: Gives the session of a request, or None; it is handed the ASGI scope or the Lambda event.
        audience: Whom assertions must name; the public URL where nothing else is said.
        issuer: Who must have issued them; the verifier's URL where nothing else is said.
        now: The present moment, aware.
    """

    def __init__(
        self,
        *,
        verifier_url: str,
        public_url: str,
        authenticate: Authenticate,
        routes: Mapping[str, Action],
        identify: Callable[[Mapping[str, Any]], Session | None],
        audience: str | None = None,
        issuer: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.verifier_url, self._public_url = _base_url(verifier_url), _base_url(public_url)
        self.identify = identify
        self._issuer, self._audience, self._now = issuer or self.verifier_url, audience or self._public_url, now
        self._routes = Routes(routes)
        self._verifier = VerifierCalls(self.verifier_url, authenticate)
        self._keys = KeyCache(self._verifier, now)

    def arrive(self, head: Head, session: Session | None) -> Arrival:
        """Return a request whose head is in order, or raise the refusal; nothing was asked yet."""
        action, params = self._routes.find(head)
        if session is None:
            # RFC 6750 section 3.1: no error code where no credential was understood.
            raise Refusal(401, "unauthenticated", "no session", {"WWW-Authenticate": "Bearer"})
        check_scheme(head, session)
        check_target(head.target)
        return Arrival(head=head, action=action, params=params, session=session, assertion=_assertion_of(head))

    def admit(self, arrival: Arrival, body: bytes) -> Steps[None]:
        """End without a word where the request may pass; raise the refusal otherwise."""
        if len(body) > MAX_BODY_BYTES:
            raise Refusal(413, "body_too_large", "body")
        uri = self._public_url + arrival.head.target
        request = GuardedRequest(method=arrival.head.method, uri=uri, params=arrival.params, body=body)
        asked, has_key = _question(arrival, request), arrival.session.dpop_jkt is not None
        context = yield from self._verifier.decide(asked)
        if context.outcome == "allow":
            return
        bound = {"method": request.method, "uri": uri, "body_sha256": sha256_base64url(body)}
        if arrival.assertion is None:
            challenge = yield from self._verifier.challenge(asked | {"request": bound})
            raise step_up_needed(context, challenge, bound=has_key)
        # Whether a proof of a key was used before only the verifier knows.
        counted = context.counted or has_key
        if counted or not (yield from self._reusable(arrival.assertion, arrival, bound, context)):
            use = asked | {"request": bound} | ({"dpop": proof_of(arrival.head)} if has_key else {})
            yield from self._verifier.spend(arrival.assertion, arrival.session.subject_id, use)

    def _reusable(self, text: str, arrival: Arrival, bound: Mapping[str, str], context: Context) -> Steps[bool]:
        """Return whether an assertion pays for any number of requests like this one; one that does not fit is refused.

        That is all that is ever decided without the verifier, and only after it said what the request needs.
        """
        try:
            claims = yield from self._verified(text)
            digest = assertion.request_digest(bound["method"], bound["uri"], bound["body_sha256"], bind=claims.bind)
        except (assertion.AssertionInvalidError, assertion.MalformedRequestError) as error:
            raise assertion_refused(error.reason) from error
        session = arrival.session
        expected = (session.subject_id, session.session_id, None, arrival.action.name, digest, context.policy_digest)
        stated = (claims.sub, claims.sid, claims.jkt(), claims.action, claims.request_digest, claims.policy_digest)
        if stated != expected:
            raise assertion_refused("binding")
        if not set(context.bind) <= set(claims.bind):
            raise assertion_refused("bound to less")
        if not level_met(claims.acr, context.acr_values):  # RFC 9470 section 5: the resource checks the level itself
            raise assertion_refused("level")
        age_seconds = self._now().timestamp() - claims.auth_time
        if context.max_age is None or not age_met(age_seconds, context.max_age, assertion.CLOCK_SKEW_SECONDS):
            raise assertion_refused("age")
        return claims.uses() is None

    def _verified(self, text: str) -> Steps[assertion.Claims]:
        keys = yield from self._keys.current()
        try:
            return self._verify(text, keys)
        except assertion.AssertionInvalidError as error:
            if error.reason != "unknown_key":
                raise
        newer = yield from self._keys.current(renew=True)  # a key may be newer than our set
        return self._verify(text, newer)

    def _verify(self, text: str, keys: Mapping[str, Mapping[str, str]]) -> assertion.Claims:
        return assertion.verify(text, keys=keys, issuer=self._issuer, audience=self._audience, now=self._now())


def _base_url(url: str) -> str:
    """Return what paths are written behind: an https URL without a slash at its end."""
    if _BASE_URL.fullmatch(url) is None:
        raise GuardConfigError("Both URLs must read like https://host[:port][/path], in lower case up to the path.")
    return url.removesuffix("/")


def _assertion_of(head: Head) -> str | None:
    """Return the assertion that the request brings; two of them, or something else there, is refused."""
    values = head.values(ASSERTION_HEADER)
    if not values:
        return None
    if len(values) > 1 or _COMPACT_JWS.fullmatch(values[0]) is None:
        raise Refusal(400, "invalid_request", "assertion header malformed or repeated")
    return values[0]


def _question(arrival: Arrival, request: GuardedRequest) -> dict[str, object]:
    """Return the AuthZEN request (Authorization API 1.0 section 6.1) for what a client wants to do."""
    action, session = arrival.action, arrival.session
    try:
        attributes = dict(action.resource(request))
    except Exception as error:  # a mapper reads what a client made up; whatever it trips over, the body is at fault
        raise Refusal(400, "invalid_request", f"mapper {type(error).__name__}") from error
    key = {} if session.dpop_jkt is None else {"dpop_jkt": session.dpop_jkt}
    return {
        "subject": {"type": "user", "id": session.subject_id, "properties": dict(session.properties)},
        "action": {"name": action.name},
        "resource": {"type": "route", "id": arrival.head.path, "properties": attributes},
        "context": {"session": {"id": session.session_id} | key},
    }
