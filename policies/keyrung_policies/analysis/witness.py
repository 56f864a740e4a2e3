"""Requests that show what a solver claims: checked by the real evaluator, and made as plain as they can be."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from keyrung_policies.analysis.encoding import Encoding
from keyrung_policies.model import Request, Value

# Values tried for each attribute; the plainest stand first, so more would only make reports slower.
_MAX_TRIES = 12

Shown = TypeVar("Shown")
Moment = tuple[Request, datetime]


def simplest(
    encoding: Encoding, witness: Moment, show: Callable[[Moment], Shown], same: Callable[[Shown], bool]
) -> Moment:
    """Return a witness with plainer values, fewer attributes and noon, as long as it still shows the same.

    Args:
        encoding: Where the witness comes from.
        witness: What to begin with.
        show: What a request shows.
        same: Whether what a plainer request shows will do.
    """
    request, now = witness
    for moment in encoding.clock.samples():
        if same(show((request, moment))):
            now = moment
            break
    for name, space in encoding.spaces.items():
        if name not in request.attributes:
            continue
        for value in space.samples()[:_MAX_TRIES]:
            if value == request.attributes[name]:
                break
            plainer = _with(request, name, value)
            if same(show((plainer, now))):
                request = plainer
                break
    return request, now


def without(
    witness: Moment, names: list[str], show: Callable[[Moment], Shown], same: Callable[[Shown], bool]
) -> Moment:
    """Return a witness without those of the named attributes that it shows the same without."""
    request, now = witness
    for name in names:
        fewer = Request(
            action=request.action,
            attributes={key: value for key, value in request.attributes.items() if key != name},
        )
        if same(show((fewer, now))):
            request = fewer
    return request, now


def _with(request: Request, name: str, value: Value) -> Request:
    return Request(action=request.action, attributes={**request.attributes, name: value})
