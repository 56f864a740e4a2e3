"""Direct invocation: `{"method", "path", "body"}`, where the body is the JSON text that would be sent over HTTP.

A text, not an object: the platform has read the event already, and a member that came twice would be lost unseen.
Lambda tells no function who invoked it, so the caller is whom the deployment names (see `keyrung_verifier.handler`).
"""

import msgspec
from msgspec import Struct

from keyrung_verifier.entry import Reply, WebRequest
from keyrung_verifier.errors import MalformedRequestError
from keyrung_verifier.limits import MAX_BODY_BYTES


class _Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: str
    path: str
    body: str = ""


def request_of(event: object) -> WebRequest:
    """Return the request in an event; it names no caller.

    Raises:
        MalformedRequestError: It has another form.
    """
    try:
        found = msgspec.convert(event, _Event, strict=True)
        body = found.body.encode("utf-8")
    except (msgspec.ValidationError, UnicodeEncodeError):
        # Their messages may quote the value, so they are not chained.
        raise MalformedRequestError("no_direct_event") from None
    return WebRequest(method=found.method, path=found.path, body=body[: MAX_BODY_BYTES + 1])


def answer_of(reply: Reply) -> dict[str, object]:
    """Return the answer: the status and the JSON text as over HTTP."""
    return {"status": reply.status, "headers": dict(reply.headers), "body": reply.body.decode("utf-8")}
