"""What AWS Lambda calls: one shell for each kind of event, all of them around the one choke point `entry.serve`."""

from collections.abc import Callable
from dataclasses import dataclass

from keyrung_verifier import entry
from keyrung_verifier.entry import Reply, WebRequest
from keyrung_verifier.errors import MalformedRequestError
from keyrung_verifier.events import direct, http
from keyrung_verifier.service import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """One kind of event: how a request is read from it, and how the answer is given.

    Attributes:
        request_of: Reads an event; the second argument is the caller whom the deployment names, for events that
            carry none.
    """

    request_of: Callable[[object, str | None], WebRequest]
    answer_of: Callable[[Reply], dict[str, object]]


HTTP = Shell(request_of=lambda event, _principal: http.request_of(event), answer_of=http.answer_of)
DIRECT = Shell(
    request_of=lambda event, principal: direct.request_of(event, principal=principal), answer_of=direct.answer_of
)


def answer(shell: Shell, verifier: Verifier, event: object, *, principal: str | None) -> dict[str, object]:
    """Return the answer to an event; no exception leaves."""
    try:
        request: WebRequest | MalformedRequestError = shell.request_of(event, principal)
    except MalformedRequestError as error:
        request = error
    return shell.answer_of(entry.serve(verifier, request))
