"""The middleware itself: who is asking, what for, may it pass."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import httpx

from keyrung_policies.satisfaction import age_met, level_met
from keyrung_verifier import assertion
from keyrung_verifier.guard import http as web
from keyrung_verifier.guard.calls import Context, KeyCache, VerifierCalls
from keyrung_verifier.guard.model import (
    Action,
    App,
    GuardConfigError,
    GuardedRequest,
    Receive,
    Refusal,
    Scope,
    Send,
    Session,
    assertion_refused,
)


class StepUpGuard:
    """Pure ASGI middleware.

    Args:
        app: The application.
        verifier_url: Where the verifier answers, https.
        public_url: The application's own https base URL as clients know it; never taken from a Host header.
        client_id: The application's id at the verifier.
        client_secret: Its secret there.
        audience: Whom assertions must name.
        issuer: Who must have issued them.
        routes: "METHOD /path/{parameter}" to action.
        identify: Gives the session of a request, or None.
        http: Carries the calls (see `verifier_client`); closed when the application ends.
        now: The present moment, aware.
    """

    def __init__(
        self,
        app: App,
        *,
        verifier_url: str,
        public_url: str,
        client_id: str,
        client_secret: str,
        audience: str,
        issuer: str,
        routes: Mapping[str, Action],
        identify: Callable[[Scope], Session | None],
        http: httpx.AsyncClient,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not verifier_url.startswith("https://") or not public_url.startswith("https://"):
            raise GuardConfigError("Both URLs must begin with https://.")
        self._app, self._identify, self._now, self._http = app, identify, now, http
        self._public_url = public_url.removesuffix("/")
        self._audience, self._issuer = audience, issuer
        self._routes = [(*web.compile_route(route), action) for route, action in routes.items()]
        self._verifier = VerifierCalls(http, verifier_url.removesuffix("/"), client_id, client_secret)
        self._keys = KeyCache(self._verifier, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a refusal."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                await self._http.aclose()
        elif scope["type"] == "http":
            await self._guard(scope, receive, send)
        elif scope["type"] == "websocket":  # a long connection is no request that an assertion could be bound to
            await send({"type": "websocket.close", "code": 1008})

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._admit(scope, receive)
        except web.ClientGoneError:
            return
        except Refusal as refusal:
            await web.answer(refusal, send)
            return
        except Exception as error:  # the last line: nothing unforeseen lets a request pass
            await web.answer(Refusal(500, "server_error", f"unexpected {type(error).__name__}"), send)
            return
        await self._app(scope, web.replay(body, receive), send)

    async def _admit(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body of a request that may pass; raise a refusal otherwise."""
        action, params = self._route(scope)
        session = self._identify(scope)
        if session is None:
            # RFC 6750 section 3.1: no error code where no credential was understood.
            raise Refusal(401, "unauthenticated", "no session", {"WWW-Authenticate": "Bearer"})
        text = web.assertion_of(scope)
        body = await web.read_body(receive)
        uri = self._public_url + web.target_of(scope)
        request = GuardedRequest(method=scope["method"], uri=uri, params=params, body=body)
        asked = _question(session, action, request, str(scope["path"]))
        decision = await self._verifier.decide(asked)
        if decision.context.outcome == "allow":
            return body
        bound = {"method": request.method, "uri": uri, "body_sha256": web.sha256_base64url(body)}
        if text is None:
            raise await self._demand(decision.context, asked | {"request": bound})
        claims = await self._checked(text, session, action, bound, decision.context)
        await self._verifier.spend(text, claims, bound)
        return body

    def _route(self, scope: Scope) -> tuple[Action, Mapping[str, str]]:
        for method, pattern, action in self._routes:
            found = pattern.fullmatch(scope["path"]) if method == scope["method"] else None
            if found is not None:
                return action, found.groupdict()
        raise Refusal(404, "not_found", "route not listed")

    async def _demand(self, context: Context, asked: Mapping[str, object]) -> Refusal:
        challenge = await self._verifier.challenge(asked)
        parameters = {
            "error": "insufficient_user_authentication",
            "error_description": "A step-up is needed for this request",
            "acr_values": " ".join(context.acr_values),
            "max_age": str(context.max_age),
            "stepup_uri": challenge.stepup_uri,
        }  # RFC 9470 section 3
        header = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
        return Refusal(401, parameters["error"], "step-up needed", {"WWW-Authenticate": header})

    async def _checked(
        self, text: str, session: Session, action: Action, bound: Mapping[str, str], context: Context
    ) -> assertion.Claims:
        """Return the claims of an assertion that fits this very request, before it is spent on it."""
        try:
            claims = await self._verified(text)
            digest = assertion.request_digest(bound["method"], bound["uri"], bound["body_sha256"])
        except (assertion.AssertionInvalidError, assertion.MalformedRequestError) as error:
            raise assertion_refused(error.reason) from error
        expected = (session.subject_id, session.session_id, action.name, digest, context.policy_digest)
        if (claims.sub, claims.sid, claims.action, claims.request_digest, claims.policy_digest) != expected:
            raise assertion_refused("binding")
        if not level_met(claims.acr, context.acr_values):  # RFC 9470 section 5: the resource checks the level itself
            raise assertion_refused("level")
        age_seconds = self._now().timestamp() - claims.auth_time
        if context.max_age is None or not age_met(age_seconds, context.max_age, assertion.CLOCK_SKEW_SECONDS):
            raise assertion_refused("age")
        return claims

    async def _verified(self, text: str) -> assertion.Claims:
        try:
            return self._verify(text, await self._keys.current())
        except assertion.AssertionInvalidError as error:
            if error.reason != "unknown_key":
                raise
        return self._verify(text, await self._keys.current(renew=True))  # a key may be newer than our set

    def _verify(self, text: str, keys: Mapping[str, Mapping[str, str]]) -> assertion.Claims:
        return assertion.verify(text, keys=keys, issuer=self._issuer, audience=self._audience, now=self._now())


def _question(session: Session, action: Action, request: GuardedRequest, path: str) -> dict[str, object]:
    """Return the AuthZEN request (Authorization API 1.0 section 6.1) for what a client wants to do."""
    try:
        attributes = dict(action.resource(request))
    except Exception as error:  # a mapper reads what a client made up; whatever it trips over, the body is at fault
        raise Refusal(400, "invalid_request", f"mapper {type(error).__name__}") from error
    return {
        "subject": {"type": "user", "id": session.subject_id, "properties": dict(session.properties)},
        "action": {"name": action.name},
        "resource": {"type": "route", "id": path, "properties": attributes},
        "context": {"session": {"id": session.session_id}},
    }
