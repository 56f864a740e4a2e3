"""Transports for httpx that answer a step-up challenge and send the request again, once.

A transport and no `httpx.Auth`: a redirect is followed above it, from the request as the caller made it, so an
assertion that was added here can't travel along to another place.
"""

import asyncio
import re
from collections.abc import Callable

import httpx

from keyrung_verifier.client.challenge import step_up_challenge
from keyrung_verifier.errors import AssertionInvalidError, ConfigurationError

ASSERTION_HEADER = "Step-Up-Assertion"
_COMPACT_JWS = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_HTTPS_PORT = 443

# From where a challenge is answered to the assertion that the answer earned; it may take as long as a person does.
AnswerStepUp = Callable[[str], str]


class _StepUp:
    """What both transports decide.

    Args:
        api_url: The API; only requests to its origin ever carry an assertion.
        verifier_url: The verifier; only challenges at its origin are answered.
        answer: Answers a challenge.
    """

    def __init__(self, *, api_url: str, verifier_url: str, answer: AnswerStepUp) -> None:
        self._api = _given_origin("api_url", api_url, example="https://api.example.com")
        self._verifier = _given_origin("verifier_url", verifier_url, example="https://stepup.example.com")
        self.answer = answer

    def concerns(self, request: httpx.Request) -> bool:
        """Return whether the request is one to the API that no assertion was brought for."""
        return _origin(str(request.url)) == self._api and ASSERTION_HEADER not in request.headers

    def asked(self, response: httpx.Response) -> str | None:
        """Return where to answer, or None where nothing is asked or somebody else asks."""
        challenge = step_up_challenge(response)
        if challenge is None or _origin(challenge.stepup_uri) != self._verifier:
            return None
        return challenge.stepup_uri

    def again(self, request: httpx.Request, assertion: str) -> httpx.Request:
        """Return the request with the assertion; the caller's own stays without."""
        if _COMPACT_JWS.fullmatch(assertion) is None:
            raise AssertionInvalidError("not_compact")
        headers = [*request.headers.raw, (ASSERTION_HEADER.encode(), assertion.encode())]
        return httpx.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )


class StepUpTransport(httpx.BaseTransport):
    """Carries requests by `inner`, and again with an assertion where a step-up is asked for.

    The second answer is given back whatever it is, so nothing can loop (RFC 9470 section 5). What proves the session
    (such as DPoP proofs, which the second request needs anew) is the business of `inner`.

    Args:
        inner: Sends.
        api_url: The API; only requests to its origin ever carry an assertion.
        verifier_url: The verifier; only challenges at its origin are answered.
        answer: Answers a challenge: from its address to the assertion. May take as long as a person does.
    """

    def __init__(self, inner: httpx.BaseTransport, *, api_url: str, verifier_url: str, answer: AnswerStepUp) -> None:
        self._inner = inner
        self._step_up = _StepUp(api_url=api_url, verifier_url=verifier_url, answer=answer)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see `httpx.BaseTransport`."""
        if not self._step_up.concerns(request):
            return self._inner.handle_request(request)
        request.read()  # so that it can be sent twice
        response = self._inner.handle_request(request)
        stepup_uri = self._step_up.asked(response)
        if stepup_uri is None:
            return response
        response.close()
        return self._inner.handle_request(self._step_up.again(request, self._step_up.answer(stepup_uri)))

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class AsyncStepUpTransport(httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`; `answer` is called in a thread of its own."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, *, api_url: str, verifier_url: str, answer: AnswerStepUp
    ) -> None:
        self._inner = inner
        self._step_up = _StepUp(api_url=api_url, verifier_url=verifier_url, answer=answer)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see `httpx.AsyncBaseTransport`."""
        if not self._step_up.concerns(request):
            return await self._inner.handle_async_request(request)
        await request.aread()
        response = await self._inner.handle_async_request(request)
        stepup_uri = self._step_up.asked(response)
        if stepup_uri is None:
            return response
        await response.aclose()
        assertion = await asyncio.to_thread(self._step_up.answer, stepup_uri)
        return await self._inner.handle_async_request(self._step_up.again(request, assertion))

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def _given_origin(name: str, url: str, *, example: str) -> tuple[str, int]:
    """Return the origin of an argument; a wrong one is named but not shown, since it may hold a password."""
    origin = _origin(url)
    if origin is None:
        raise ConfigurationError(
            f"{name} is not an https address with a host and without a user name; write one such as {example}"
        )
    return origin


def _origin(url: str) -> tuple[str, int] | None:
    """Return host and port of an https address, or None where it is something else."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    if parts.scheme != "https" or not parts.host or parts.userinfo:
        return None
    return parts.host, parts.port or _HTTPS_PORT
