"""What AWS Lambda calls: one function for each kind of event, all of them around the one choke point `entry.serve`.

A deployment names one of them as the handler of a function: `keyrung_verifier.handler.http` behind a function URL or
an HTTP API, `direct` for applications that invoke it, `http_authorizer` and `rest_authorizer` for gateways that ask
before they call an application, `archive` for the stream of the store.

`KEYRUNG_CONFIG` names the deployment document in S3. For events that carry no caller, `KEYRUNG_PRINCIPAL` names the IAM
role of the one application that the function works for; `KEYRUNG_ROUTES` holds the actions of an authorizer's routes.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from keyrung_verifier import entry
from keyrung_verifier.aws.clients import AwsClients
from keyrung_verifier.aws.deployed import DeployedVerifier, DeploymentDocument
from keyrung_verifier.entry import Reply, WebRequest
from keyrung_verifier.errors import MalformedRequestError, RefusedError, UnavailableError
from keyrung_verifier.events import authorizer
from keyrung_verifier.events import direct as direct_events
from keyrung_verifier.events import http as http_events
from keyrung_verifier.limits import TOKEN_ID_BYTES
from keyrung_verifier.metrics import Teller
from keyrung_verifier.principals import configured_principal
from keyrung_verifier.protocols import Clock, Random
from keyrung_verifier.request_log import Served, line_of, operation_of
from keyrung_verifier.service import Verifier
from keyrung_verifier.system import SystemClock, SystemRandom

if TYPE_CHECKING:
    from keyrung_verifier.aws.archiver import Archiver

PRINCIPAL_VARIABLE = "KEYRUNG_PRINCIPAL"
ROUTES_VARIABLE = "KEYRUNG_ROUTES"
NAME_VARIABLE = "AWS_LAMBDA_FUNCTION_NAME"
# The end of a function's time that is kept for the answer.
ANSWER_SECONDS = 0.5
# Where the platform puts the X-Ray header of each call.
_XRAY_VARIABLE = "_X_AMZN_TRACE_ID"


class LambdaContext(Protocol):
    """What of the platform's context object counts."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the call may still take."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """One kind of event: how a request is read from it, and how the answer is given.

    Attributes:
        request_of: Reads an event.
        names_caller: Whether events carry their caller; if not, it is the one whom the deployment names.
        answer_of: Gives the answer to the event.
    """

    request_of: Callable[[object], WebRequest]
    names_caller: bool
    answer_of: Callable[[Reply, object], dict[str, object]]


HTTP = Shell(
    request_of=http_events.request_of,
    names_caller=True,
    answer_of=lambda reply, _event: http_events.answer_of(reply),
)
DIRECT = Shell(
    request_of=direct_events.request_of,
    names_caller=False,
    answer_of=lambda reply, _event: direct_events.answer_of(reply),
)


def http_authorizer_shell(routes: authorizer.Routes) -> Shell:
    """Return the shell of an HTTP API's authorizer for these routes."""
    return Shell(
        request_of=lambda event: authorizer.http_request_of(event, routes),
        names_caller=False,
        answer_of=lambda reply, _event: authorizer.http_answer_of(reply),
    )


def rest_authorizer_shell(routes: authorizer.Routes) -> Shell:
    """Return the shell of a REST API's authorizer for these routes."""
    return Shell(
        request_of=lambda event: authorizer.rest_request_of(event, routes),
        names_caller=False,
        answer_of=authorizer.rest_answer_of,
    )


class Function:
    """A function of AWS Lambda in one process.

    Args:
        verifier: Gives the verifier of the deployment as it is now; raises `UnavailableError`.
        principal: The caller of events that carry none.
        end_at: Is told with each call when its time is over, on `time.monotonic`.
        write: Takes the log's lines.
        name: Of the function, for the log.
        clock: Dates them.
        random: Names refusals that no verifier stands behind.
    """

    def __init__(
        self,
        *,
        verifier: Callable[[], Verifier],
        principal: str | None,
        end_at: Callable[[float], None],
        write: Callable[[str], object],
        name: str,
        clock: Clock,
        random: Random,
    ) -> None:
        self._verifier, self._principal, self._end_at = verifier, principal, end_at
        self._write, self._name, self._clock, self._random = write, name, clock, random
        self._cold = True

    def call(self, shell: Shell, event: object, context: LambdaContext) -> dict[str, object]:
        """Return the answer to an event, and write its line."""
        began = time.monotonic()
        self._end_at(_end_seconds(context))
        request: WebRequest | None
        try:
            request = self._read(shell, event)
        except MalformedRequestError as error:
            request, reply = None, self._refuse(error)
        else:
            reply = self._reply(request)
        served = Served(
            function=self._name,
            operation="other" if request is None else operation_of(request.method, request.path),
            reply=reply,
            duration_ms=(time.monotonic() - began) * 1000,
            cold=self._cold,
            request_id=context.aws_request_id,
            xray_header=os.environ.get(_XRAY_VARIABLE),  # the runtime changes it with each call
            traceparent=None if request is None else request.traceparent,
        )
        self._cold = False
        self._write(line_of(served, now=self._clock.now()) + "\n")
        return shell.answer_of(reply, event)

    def _read(self, shell: Shell, event: object) -> WebRequest:
        request = shell.request_of(event)
        return request if shell.names_caller else replace(request, principal=self._principal)

    def _reply(self, request: WebRequest) -> Reply:
        try:
            verifier = self._verifier()
        except UnavailableError as error:
            return self._refuse(error)
        return entry.serve(verifier, request)

    def _refuse(self, error: RefusedError) -> Reply:
        return entry.refusal(error, correlation_id=self._random.token_bytes(TOKEN_ID_BYTES).hex())


class _Platform:
    """What both kinds of function of a process have from its environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.clock, self.random = SystemClock(), SystemRandom()
        self.clients = AwsClients(environment, clock=self.clock, random=self.random)
        self.name = environment.get(NAME_VARIABLE, "")
        self.teller = Teller(sys.stdout.write, function=self.name, clock=self.clock)
        self.document = DeploymentDocument(environment, self.clients, clock=self.clock, teller=self.teller)
        named = environment.get(PRINCIPAL_VARIABLE)
        self.principal = configured_principal(named) if named else None


@cache
def _platform() -> _Platform:
    """Return this process's platform; raises `ConfigurationError` if its environment makes no sense."""
    return _Platform(os.environ)


@cache
def _function() -> Function:
    platform = _platform()
    deployed = DeployedVerifier(platform.document, platform.clients, clock=platform.clock, random=platform.random)
    return Function(
        verifier=deployed.current,
        principal=platform.principal,
        end_at=platform.clients.end_at,
        write=sys.stdout.write,
        name=platform.name,
        clock=platform.clock,
        random=platform.random,
    )


@cache
def _routes() -> authorizer.Routes:
    return authorizer.parse_routes(os.environ.get(ROUTES_VARIABLE, ""))


@cache
def _archiver() -> "Archiver":
    from keyrung_verifier.aws.archiver import Archiver  # noqa: PLC0415 - the verifier need not wait for it

    platform = _platform()
    return Archiver(platform.document, platform.clients, clock=platform.clock, teller=platform.teller)


def _end_seconds(context: LambdaContext) -> float:
    """Return when the work of a call is to end, on `time.monotonic`."""
    return time.monotonic() + context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS


def http(event: object, context: LambdaContext) -> dict[str, object]:
    """Answer a function URL or an HTTP API."""
    return _function().call(HTTP, event, context)


def direct(event: object, context: LambdaContext) -> dict[str, object]:
    """Answer a direct invocation."""
    return _function().call(DIRECT, event, context)


def http_authorizer(event: object, context: LambdaContext) -> dict[str, object]:
    """Answer an HTTP API that asks whether a request may pass."""
    return _function().call(http_authorizer_shell(_routes()), event, context)


def rest_authorizer(event: object, context: LambdaContext) -> dict[str, object]:
    """Answer a REST API that asks whether a request may pass."""
    return _function().call(rest_authorizer_shell(_routes()), event, context)


def archive(event: Mapping[str, Any], context: LambdaContext) -> dict[str, object]:
    """Archive a batch of the store's stream."""
    _platform().clients.end_at(_end_seconds(context))
    return _archiver().archive(event)
