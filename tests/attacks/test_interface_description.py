"""Requests made up from the interface description: whatever they hold, the server answers as it describes itself."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import Receive, Scope, Send
from support.asgi_shell import asgi_shell
from support.verifier import CLIENT, World, b64

from keyrung_verifier import paths
from keyrung_verifier.openapi import openapi_document

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
CALLER = "Basic " + base64.b64encode(f"{CLIENT.client_id}:{CLIENT.secret}".encode()).decode()
PATHS = openapi_document()["paths"]
OPERATIONS = [(method.upper(), path) for path in PATHS for method in PATHS[path] if method != "parameters"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Any]]:
    """A verifier, and its description as its own ASGI shell serves it."""
    world = World(tmp_path_factory.mktemp("described"))
    world.enrol_totp()
    shell = asgi_shell(world.verifier)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":  # the shell's upkeep belongs to a deployment, which is not here
            await shell(scope, receive, send)

    yield world, schemathesis.openapi.from_asgi(paths.OPENAPI, app)
    world.close()


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(one) for one in OPERATIONS])
def test_every_answer_is_one_that_the_description_names(served: tuple[World, Any], method: str, path: str) -> None:
    world, schema = served
    living = world.challenge_id()

    @given(
        case=schema[path][method].as_strategy(),
        known=st.sampled_from([living, b64(bytes(32)), None]),
        authorization=st.sampled_from([CALLER, CALLER, CALLER, "Basic x", None]),
    )
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    def answers(case: Any, known: str | None, authorization: str | None) -> None:
        if case.path_parameters and known is not None:
            case.path_parameters["id"] = known
        headers = {} if authorization is None else {"Authorization": authorization}
        case.call_and_validate(headers=headers, checks=CHECKS)

    answers()
    assert world.http("GET", paths.HEALTH).status == 200
