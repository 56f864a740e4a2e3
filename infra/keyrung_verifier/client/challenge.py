"""Reads a step-up challenge (RFC 9470 section 3) from a response, strictly: what is not understood is none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# RFC 9110 section 11.2: a parameter's value is a token or a quoted string; after it the list goes on or ends.
_PARAMETER = re.compile(rf'({_NAME})[ \t]*=[ \t]*(?:({_NAME})|"((?:[^"\\]|\\.)*)")[ \t]*(?:,|\Z)')
_SCHEME = re.compile(rf"({_NAME})(?:[ \t]+|[ \t]*(?:,|\Z))")
_GAP = re.compile(r"[ \t,]*")
_SCHEMES = {"bearer", "dpop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpChallenge:
    """What a request needs; `max_age_seconds` is how old a step-up may be."""

    acr_values: tuple[str, ...]
    max_age_seconds: int | None
    stepup_uri: str


def step_up_challenge(response: httpx.Response) -> StepUpChallenge | None:
    """Return what a refused request needs, or None where that is no step-up; two of them are none."""
    if response.status_code != httpx.codes.UNAUTHORIZED:
        return None
    found = [
        parameters
        for value in response.headers.get_list("WWW-Authenticate")
        for scheme, parameters in _challenges(value)
        if scheme in _SCHEMES and parameters.get("error") == "insufficient_user_authentication"
    ]
    if len(found) != 1 or "stepup_uri" not in found[0]:
        return None
    max_age = found[0].get("max_age", "")
    return StepUpChallenge(
        acr_values=tuple(found[0].get("acr_values", "").split()),
        max_age_seconds=int(max_age) if re.fullmatch("[0-9]{1,9}", max_age) else None,
        stepup_uri=found[0]["stepup_uri"],
    )


def _challenges(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each challenge of a header as scheme and parameters, both in lower case (RFC 9110 section 11.6.1)."""
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while (at := _GAP.match(header, at).end()) < len(header):  # type: ignore[union-attr] # it matches nothing, too
        parameter = _PARAMETER.match(header, at) if found else None
        scheme = None if parameter else _SCHEME.match(header, at)
        if parameter is not None:
            name, token, quoted = parameter.groups()
            if name.lower() in found[-1][1]:
                return
            found[-1][1][name.lower()] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            at = parameter.end()
        elif scheme is not None:
            found.append((scheme[1].lower(), {}))
            at = scheme.end()
        else:
            return
    yield from found
