"""How a refusal looks to the client: the same from every shell."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

from keyrung_verifier.guard.model import Refusal

_LOG = logging.getLogger(__name__)
_SERVER_ERRORS = 500  # from here on the operator has to look (RFC 9110 section 15.6)
_DESCRIPTIONS = {
    "invalid_request": "The request is malformed.",
    "unauthenticated": "Sign in first.",
    "insufficient_user_authentication": "A step-up is needed for this request.",
    "invalid_token": "The access token has to come under the scheme it was issued for.",
    "invalid_dpop_proof": "The DPoP proof is missing or not valid for this request; make a new one.",
    "use_dpop_nonce": "Make a new DPoP proof with the nonce in the DPoP-Nonce header.",
    "unmet_authentication_requirements": "The level that this request needs can't be reached.",
    "access_denied": "This request is not allowed.",
    "assertion_refused": "The step-up does not fit this request; repeat it without the assertion.",
    "not_found": "There is nothing here.",
    "body_too_large": "The request's body is too large.",
    "temporarily_unavailable": "This request can't be decided now; try again later.",
    "server_error": "The request could not be processed.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to send instead of the application's answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def reply_to(ended: Exception) -> Reply:
    """Return generic text and an id that the log knows; only the log says why the request ended."""
    if isinstance(ended, Refusal):
        refusal = ended
    else:  # the last line: nothing unforeseen lets a request pass
        refusal = Refusal(500, "server_error", f"unexpected {type(ended).__name__}")
    correlation_id = os.urandom(12).hex()  # a label for the log, no secret and no part of any decision
    level = logging.WARNING if refusal.status >= _SERVER_ERRORS else logging.INFO
    _LOG.log(level, "refused %s %s: %s", refusal.error, correlation_id, refusal.reason)
    members = {
        "error": refusal.error,
        "error_description": _DESCRIPTIONS[refusal.error],
        "correlation_id": correlation_id,
    }
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Reply(status=refusal.status, headers=headers | refusal.headers, body=json.dumps(members).encode("ascii"))
