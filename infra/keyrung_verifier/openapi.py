"""The interface description (OpenAPI 3.1), generated from the very models that requests are read with."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from keyrung_verifier import models, paths
from keyrung_verifier.errors import (
    AccessDeniedError,
    AssertionRefusedError,
    CallerRefusedError,
    ChallengeRefusedError,
    DpopNonceError,
    DpopRefusedError,
    MalformedRequestError,
    RefusedError,
    StepUpNotRequiredError,
    UnavailableError,
    UnexpectedError,
    UnmetRequirementError,
)
from keyrung_verifier.factors import Answer
from keyrung_verifier.limits import MAX_DPOP_PROOF_CHARS

TITLE = "Keyrung verifier"
# The version of the interface, not of the program.
VERSION = "1"
REFERENCE = "#/components/schemas/{name}"
Json = dict[str, Any]
Refusals = tuple[type[RefusedError], ...]

CLIENT_SECURITY: list[Json] = [{"client": []}]
_REQUEST_ID: Json = {
    "X-Request-ID": {"description": "As in the request (AuthZEN 1.0)", "schema": {"type": "string", "maxLength": 128}}
}
_DPOP_NONCE: Json = {
    "DPoP-Nonce": {"description": "For the next proof (RFC 9449 section 8.2)", "schema": {"type": "string"}}
}
_ALWAYS: Refusals = (UnexpectedError, UnavailableError)
_READING: Refusals = (MalformedRequestError, *_ALWAYS)
_CALLER: Refusals = (CallerRefusedError, *_READING)
_PROVING: Refusals = (DpopRefusedError, DpopNonceError)
_RESPONSES: tuple[type[Struct], ...] = (
    models.EvaluationResponse,
    models.EvaluationsResponse,
    models.ChallengeCreated,
    models.ChallengeView,
    models.AssertionIssued,
    models.AnswerKept,
    models.AssertionSpent,
    models.JsonWebKeySet,
    models.AuthzenConfiguration,
    models.Health,
    models.ErrorResponse,
)
_REQUESTS: tuple[Any, ...] = (
    models.EvaluationRequest,
    models.EvaluationsRequest,
    models.ChallengeRequest,
    models.SpendRequest,
    Answer,
)


def openapi_document() -> Json:
    """Return the description as plain data."""
    schemas, components = msgspec.json.schema_components((*_REQUESTS, *_RESPONSES), ref_template=REFERENCE)
    names = dict(zip((*_REQUESTS, *_RESPONSES), schemas, strict=True))
    challenge_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 128}}
    one = f"{paths.CHALLENGES}/{{id}}"
    dpop: Json = {
        "name": "DPoP",
        "in": "header",
        "description": "RFC 9449; required where the challenge says so",
        "schema": {"type": "string", "maxLength": MAX_DPOP_PROOF_CHARS},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": {
            paths.EVALUATION: {
                "post": _operation(
                    "Evaluate a request", names, models.EvaluationResponse, _CALLER, request=models.EvaluationRequest
                )
            },
            paths.EVALUATIONS: {
                "post": _operation(
                    "Evaluate several requests",
                    names,
                    (models.EvaluationsResponse, models.EvaluationResponse),
                    _CALLER,
                    request=models.EvaluationsRequest,
                )
            },
            paths.CHALLENGES: {
                "post": _operation(
                    "Make a challenge",
                    names,
                    models.ChallengeCreated,
                    (AccessDeniedError, UnmetRequirementError, StepUpNotRequiredError, *_CALLER),
                    request=models.ChallengeRequest,
                    status=201,
                    nonce=True,
                )
            },
            one: {
                "parameters": [challenge_id],
                "get": _operation(
                    "See a challenge", names, models.ChallengeView, (ChallengeRefusedError, *_ALWAYS), nonce=True
                ),
            },
            f"{one}{paths.RESPONSE_SUFFIX}": {
                "parameters": [challenge_id, dpop],
                "post": _operation(
                    "Answer a challenge",
                    names,
                    models.AssertionIssued,
                    (ChallengeRefusedError, *_PROVING, *_READING),
                    request=Answer,
                    more={202: ("A right answer, and another one is needed", models.AnswerKept)},
                    nonce=True,
                ),
            },
            paths.SPEND: {
                "post": _operation(
                    "Spend an assertion",
                    names,
                    models.AssertionSpent,
                    (AssertionRefusedError, AccessDeniedError, StepUpNotRequiredError, *_PROVING, *_CALLER),
                    request=models.SpendRequest,
                    nonce=True,
                )
            },
            paths.JWKS: {"get": _operation("Keys of assertions", names, models.JsonWebKeySet, _ALWAYS)},
            paths.AUTHZEN_CONFIGURATION: {
                "get": _operation("AuthZEN metadata", names, models.AuthzenConfiguration, _ALWAYS)
            },
            paths.HEALTH: {"get": _operation("Health", names, models.Health, _ALWAYS)},
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"client": {"type": "http", "scheme": "basic"}},
        },
    }


def _operation(
    summary: str,
    names: dict[Any, Json],
    response: type[Struct] | tuple[type[Struct], ...],
    refusals: Refusals,
    *,
    request: Any = None,
    status: int = 200,
    more: Mapping[int, tuple[str, type[Struct]]] = MappingProxyType({}),
    nonce: bool = False,
) -> Json:
    schema = {"oneOf": [names[each] for each in response]} if isinstance(response, tuple) else names[response]
    responses: Json = {str(status): {"description": "Success", "content": _content(schema)}}
    for other, (description, form) in more.items():
        responses[str(other)] = {"description": description, "content": _content(names[form])}
    for refusal in refusals:
        known = responses.get(str(refusal.status))
        codes = f"{known['description']}, {refusal.error}" if known else refusal.error
        responses[str(refusal.status)] = {"description": codes, "content": _content(names[models.ErrorResponse])}
    for described in responses.values():
        described["headers"] = {**_REQUEST_ID, **(_DPOP_NONCE if nonce else {})}
    operation: Json = {"summary": summary, "responses": dict(sorted(responses.items()))}
    if request is not None:
        operation["requestBody"] = {"required": True, "content": _content(names[request])}
    if CallerRefusedError in refusals:
        operation["security"] = CLIENT_SECURITY
    return operation


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
