"""The guard around a Lambda function behind an API Gateway or a function URL."""

import http.client
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from keyrung_verifier.guard.admission import Guard
from keyrung_verifier.guard.calls import client_credentials
from keyrung_verifier.guard.events import body_of, head_of
from keyrung_verifier.guard.messages import (
    MAX_ANSWER_BYTES,
    NO_ANSWER,
    VERIFIER_DEADLINE_SECONDS,
    Answer,
    Call,
    Steps,
)
from keyrung_verifier.guard.model import Action, GuardConfigError, GuardedRequest, Session
from keyrung_verifier.guard.reply import reply_to
from keyrung_verifier.timed_connection import TimedConnection

# All that a function needs.
__all__ = ["Action", "Guard", "GuardConfigError", "GuardedRequest", "Session", "client_credentials", "guarded"]

Event = Mapping[str, Any]
Result = Mapping[str, Any]
Handler = Callable[[Event, Any], Result]

_LOG = logging.getLogger(__name__)
_HTTPS_PORT = 443


def guarded(guard: Guard, *, tls: ssl.SSLContext | None = None) -> Callable[[Handler], Handler]:
    """Return the decorator that lets only requests pass which the guard admits.

    It takes events of an HTTP API or a function URL (payload 2.0) and proxy events of a REST API (payload 1.0); any
    other event is refused.

    Args:
        guard: What is decided. Routes name the path as the event has it: `rawPath` or, in a REST API, `path`.
        tls: How the verifier is trusted; the system's authorities where nothing else is said.
    """
    trust = tls or ssl.create_default_context()
    verifier = urlsplit(guard.verifier_url)

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def handle(event: Event, context: Any) -> Result:
            try:
                arrival = guard.arrive(head_of(event), guard.identify(event))
                connection = TimedConnection(verifier.hostname or "", verifier.port or _HTTPS_PORT, trust)
                _carry_out(guard.admit(arrival, body_of(event)), connection)
            except Exception as error:
                reply = reply_to(error)
                return {"statusCode": reply.status, "headers": dict(reply.headers), "body": reply.body.decode("ascii")}
            return handler(event, context)

        return handle

    return decorate


def _carry_out(steps: Steps[None], connection: TimedConnection) -> None:
    """Ask over one connection, which ends with the request.

    A function that was frozen in between would find it dead, and nobody knows whether a call on a dead connection was
    carried out.
    """
    answer: Answer | None = None
    try:
        while (call := _next(steps, answer)) is not None:
            answer = _ask(connection, call)
    finally:
        connection.close()


def _next(steps: Steps[None], answer: Answer | None) -> Call | None:
    """Return the next call, or None where the steps have ended; nothing but their end is taken for it."""
    try:
        return next(steps) if answer is None else steps.send(answer)
    except StopIteration:
        return None


def _ask(connection: TimedConnection, call: Call) -> Answer:
    url = urlsplit(call.url)
    try:
        response = connection.exchange(
            *(call.method, url.path, {**call.headers, "host": url.netloc}, call.body),
            deadline_seconds=time.monotonic() + VERIFIER_DEADLINE_SECONDS,
            max_response_bytes=MAX_ANSWER_BYTES,
        )
    except (OSError, http.client.HTTPException) as error:
        # An error of the system or of TLS says why, such as a certificate that does not count; HTTP errors may quote.
        why = f" ({error})" if isinstance(error, OSError) else ""
        _LOG.warning("the verifier did not answer: %s%s", type(error).__name__, why)
        connection.close()
        return NO_ANSWER
    if "content-encoding" in response.headers:  # not asked for
        return NO_ANSWER
    return Answer(status=response.status, content=response.body, dpop_nonce=response.headers.get("dpop-nonce"))
