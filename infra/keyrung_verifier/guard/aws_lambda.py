"""The guard around a Lambda function behind an API Gateway or a function URL."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from keyrung_verifier.guard.admission import Guard
from keyrung_verifier.guard.blocking import Connection
from keyrung_verifier.guard.calls import Answer, Steps, client_credentials
from keyrung_verifier.guard.events import body_of, head_of
from keyrung_verifier.guard.model import Action, GuardConfigError, GuardedRequest, Session
from keyrung_verifier.guard.reply import reply_to

# All that a function needs.
__all__ = ["Action", "Guard", "GuardConfigError", "GuardedRequest", "Session", "client_credentials", "guarded"]

Event = Mapping[str, Any]
Result = Mapping[str, Any]
Handler = Callable[[Event, Any], Result]


def guarded(guard: Guard, *, tls: ssl.SSLContext | None = None) -> Callable[[Handler], Handler]:
    """Return the decorator that lets only requests pass which the guard admits.

    It takes events of an HTTP API or a function URL (payload 2.0) and proxy events of a REST API (payload 1.0); any
    other event is refused.

    Args:
        guard: What is decided. Routes name the path as the event has it: `rawPath` or, in a REST API, `path`.
        tls: How the verifier is trusted; the system's authorities where nothing else is said.
    """
    trust = tls or ssl.create_default_context()

    def decorate(handler: Handler) -> Handler:
        def handle(event: Event, context: Any) -> Result:
            try:
                arrival = guard.arrive(head_of(event), guard.identify(event))
                _carry_out(guard.admit(arrival, body_of(event)), Connection(guard.verifier_url, trust))
            except Exception as error:
                reply = reply_to(error)
                return {"statusCode": reply.status, "headers": dict(reply.headers), "body": reply.body.decode("ascii")}
            return handler(event, context)

        return handle

    return decorate


def _carry_out(steps: Steps[None], connection: Connection) -> None:
    answer: Answer | None = None
    try:
        while True:
            answer = connection.ask(next(steps) if answer is None else steps.send(answer))
    except StopIteration:
        return
    finally:
        connection.close()
