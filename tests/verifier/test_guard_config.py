"""A guard that is set up wrongly does not start."""

import pytest
from support.guarded import guard_of
from support.verifier import World

from keyrung_verifier.guard.asgi import Action, GuardConfigError


@pytest.mark.parametrize("route", ["POST", "/transfers", "post /transfers", "POST transfers", "POST /a b", "POST /{A}"])
def test_a_route_that_is_no_route_is_a_configuration_error(world: World, route: str) -> None:
    with pytest.raises(GuardConfigError, match="POST"):
        guard_of(world, routes={route: Action(name="x")})


def test_a_parameter_that_is_named_twice_is_a_configuration_error(world: World) -> None:
    with pytest.raises(GuardConfigError, match="once"):
        guard_of(world, routes={"GET /a/{id}/b/{id}": Action(name="x")})


@pytest.mark.parametrize("name", ["verifier_url", "public_url"])
@pytest.mark.parametrize(
    "url",
    [
        *("http://bank.example", "HTTPS://bank.example", "https://Bank.example", "bank.example", "//bank.example", ""),
        *("https://", "https:///x", "https://a@bank.example", "https://bank.example?a=1", "https://bank.example#a"),
        *("https://bank.example//x", "https://bank.example/a b", "https://bank.example/%2e", "https://bank.example\n"),
    ],
)
def test_an_address_that_is_no_base_url_is_a_configuration_error(world: World, name: str, url: str) -> None:
    with pytest.raises(GuardConfigError, match="https"):
        guard_of(world, **{name: url})


@pytest.mark.parametrize("url", ["https://bank.example", "https://localhost:8443/", "https://[::1]:1/v1/bank/"])
def test_an_address_may_have_a_port_and_a_path(world: World, url: str) -> None:
    assert guard_of(world, verifier_url=url, public_url=url).verifier_url == url.removesuffix("/")
