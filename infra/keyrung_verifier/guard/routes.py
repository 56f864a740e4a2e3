"""Which action a request is: an exact table, and what a request target may look like."""

import re
from collections.abc import Mapping

from keyrung_verifier.guard.model import Action, GuardConfigError, Head, Refusal

_ROUTE = re.compile(r"(?P<method>[A-Z]+) (?P<path>/[^\s{}]*(?:\{[a-z_]+\}[^\s{}]*)*)", re.ASCII)
# What a request target may consist of (RFC 3986 sections 3.3 and 3.4), beginning with one slash.
_TARGET = re.compile(r"/[!$-;=?-Z_a-z~\[\]]*", re.ASCII)
# One segment, but no dot segment, which others remove (RFC 3986 section 5.2.4), and no control character: a router
# whose patterns end in `$` also takes a path that ends in a line feed, so "/reports/export%0A" would be {id} here and
# `export` there.
_SEGMENT = r"(?!\.\.?(?:/|\Z))[^/\x00-\x1f\x7f]+"


class Routes:
    """The table of "METHOD /path/{parameter}" to action; a parameter stands for one segment."""

    def __init__(self, routes: Mapping[str, Action]) -> None:
        self._routes = [(*_compiled(route), action) for route, action in routes.items()]

    def find(self, head: Head) -> tuple[Action, Mapping[str, str]]:
        """Return the action of a request and its path parameters; the first route that fits counts."""
        for method, pattern, action in self._routes:
            found = pattern.fullmatch(head.path) if method == head.method else None
            if found is not None:
                return action, found.groupdict()
        raise Refusal(404, "not_found", "route not listed")


def below(root_path: str, path: str) -> str:
    """Return the part of a path that routers of ASGI applications compare: what follows where they are mounted.

    A server may leave the root path out of the path; then there is nothing to take away.
    """
    return path.removeprefix(root_path) if f"{path}/".startswith(f"{root_path}/") else path


def check_target(target: str) -> None:
    """Refuse a target that does not have the one exact form; a decoded one would let two requests look alike."""
    if _TARGET.fullmatch(target) is None:
        raise Refusal(400, "invalid_request", "request target malformed")


def _compiled(route: str) -> tuple[str, re.Pattern[str]]:
    found = _ROUTE.fullmatch(route)
    if found is None:
        raise GuardConfigError(f"The route {route!r} must read like 'POST /transfers/{{id}}'.")
    parts = re.split(r"\{([a-z_]+)\}", found["path"])
    if len(set(parts[1::2])) < len(parts[1::2]):
        raise GuardConfigError(f"The route {route!r} must name each parameter once.")
    pattern = "".join(f"(?P<{part}>{_SEGMENT})" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return found["method"], re.compile(pattern)
