"""A guard that is set up wrongly does not start."""

import pytest
from support.guarded import PUBLIC_URL, guard_of
from support.verifier import ORIGIN, World

from keyrung_verifier.guard.asgi import Action, GuardConfigError


@pytest.mark.parametrize("route", ["POST", "/transfers", "post /transfers", "POST transfers", "POST /a b", "POST /{A}"])
def test_a_route_that_is_no_route_is_a_configuration_error(world: World, route: str) -> None:
    with pytest.raises(GuardConfigError, match="POST"):
        guard_of(world, routes={route: Action(name="x")})


@pytest.mark.parametrize("urls", [("http://verifier.example", PUBLIC_URL), (ORIGIN, "http://bank.example")])
def test_plain_http_is_a_configuration_error(world: World, urls: tuple[str, str]) -> None:
    with pytest.raises(GuardConfigError, match="https"):
        guard_of(world, verifier_url=urls[0], public_url=urls[1])
