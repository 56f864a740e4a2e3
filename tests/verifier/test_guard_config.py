"""A guard that is set up wrongly does not start."""

import httpx
import pytest
from support.guarded import PUBLIC_URL
from support.verifier import ORIGIN

from keyrung_verifier.guard import Action, GuardConfigError, StepUpGuard


@pytest.mark.parametrize("route", ["POST", "/transfers", "post /transfers", "POST transfers", "POST /a b", "POST /{A}"])
def test_a_route_that_is_no_route_is_a_configuration_error(route: str) -> None:
    with pytest.raises(GuardConfigError, match="POST"):
        make_guard(routes={route: Action(name="x")})


@pytest.mark.parametrize("urls", [("http://verifier.example", PUBLIC_URL), (ORIGIN, "http://bank.example")])
def test_plain_http_is_a_configuration_error(urls: tuple[str, str]) -> None:
    with pytest.raises(GuardConfigError, match="https"):
        make_guard(verifier_url=urls[0], public_url=urls[1])


def make_guard(
    *, verifier_url: str = ORIGIN, public_url: str = PUBLIC_URL, routes: dict[str, Action] | None = None
) -> StepUpGuard:
    async def app(*_anything: object) -> None: ...

    return StepUpGuard(
        app,
        verifier_url=verifier_url,
        public_url=public_url,
        client_id="c",
        client_secret="s",
        audience="a",
        issuer="i",
        routes=routes or {},
        identify=lambda _scope: None,
        http=httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: httpx.Response(500))),
    )
