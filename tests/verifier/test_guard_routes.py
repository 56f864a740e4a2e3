"""Whatever route the guard takes a request for, a router takes it for the same one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.routing import Match, Route

from keyrung_verifier.guard.model import Action, Head, Refusal
from keyrung_verifier.guard.routes import Routes

PATHS = ["/reports/export", "/reports/{id}", "/reports/{id}/lines/{line}", "/{a}/export", "/x-{id}.json"]
GUARD = Routes({f"GET {path}": Action(name=path) for path in PATHS})
ROUTER = [Route(path, lambda _request: Response(), methods=["GET"]) for path in PATHS]
SEGMENTS = st.sampled_from(["reports", "export", "lines", "x-1.json", "x-.json", ".", "..", "", "Reports", "1", "{id}"])
NASTY = st.text(st.sampled_from("\n\r\t\0/\\%;?#. \x7f\x85\u2028é{}x1"), max_size=4)
# A path of the table with an end of its own, or segments of any kind.
NEAR = st.builds("{}{}".format, st.sampled_from(["reports/export", "reports/1", "a/export", "x-1.json"]), NASTY)
TARGETS = NEAR | st.lists(SEGMENTS | NASTY | st.builds("{}{}".format, SEGMENTS, NASTY), max_size=5).map("/".join)


def routed(path: str) -> str | None:
    """Return the route that Starlette serves, which is the first that fits."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": ""}
    return next((route.path for route in ROUTER if route.matches(scope)[0] is Match.FULL), None)


def guarded(path: str) -> str | None:
    try:
        action, _ = GUARD.find(Head(method="GET", path=path, target="/", headers=[]))
    except Refusal:
        return None
    return action.name


@settings(max_examples=1000)
@given(TARGETS.map("/{}".format))
def test_the_guard_never_takes_a_path_for_another_route_than_a_router_does(path: str) -> None:
    assert guarded(path) in {None, routed(path)}


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/reports/export", "/reports/export"),
        ("/reports/1", "/reports/{id}"),
        ("/reports/1/lines/2", "/reports/{id}/lines/{line}"),
        ("/other/export", "/{a}/export"),
        ("/x-1.json", "/x-{id}.json"),
    ],
)
def test_an_ordinary_path_is_its_route_to_both(path: str, route: str) -> None:
    assert guarded(path) == routed(path) == route
