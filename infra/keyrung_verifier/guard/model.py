"""What an application tells the guard, and how a request ends that does not pass."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

# What an attribute of a policy can be; a list is a set of texts.
Value = str | int | bool | list[str]

RETRY_AFTER_SECONDS = 5


class GuardConfigError(ValueError):
    """A setting of the guard makes no sense; the sentence names the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who is asking, as the application's own session says.

    Attributes:
        dpop_jkt: The RFC 7638 thumbprint of the key that the session's access token is bound to (its `cnf.jkt`), once
            the application has checked the token and the request's DPoP proof.
        properties: Become `subject.*` attributes.
    """

    subject_id: str
    session_id: str
    dpop_jkt: str | None = None
    properties: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedRequest:
    """The request a route's mapper looks at; `uri` is the public one, `params` come from the path pattern."""

    method: str
    uri: str
    params: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """Return the body's JSON object; one that repeats a member could mean two things and is refused."""
        value = json.loads(self.body, object_pairs_hook=_unique_members)
        if not isinstance(value, dict):
            raise ValueError("the body is no JSON object")
        return value


def _no_attributes(_request: GuardedRequest) -> Mapping[str, Value]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a route does, in the policy's words; `resource` gives its `resource.*` attributes or raises ValueError."""

    name: str
    resource: Callable[[GuardedRequest], Mapping[str, Value]] = _no_attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request up to its body.

    Attributes:
        path: What routes are compared with and the application routes by.
        target: Path and query as clients write them.
        headers: Names in lower case; a repeated header stands here as often as it came.
    """

    method: str
    path: str
    target: str
    headers: Sequence[tuple[str, str]] = field(repr=False)

    def values(self, name: str) -> list[str]:
        """Return each value that the header came with."""
        return [value for each, value in self.headers if each == name]


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """Ends a request; `reason` goes to the log only."""

    def __init__(self, status: int, error: str, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.error, self.reason, self.headers = status, error, reason, dict(headers or {})


def assertion_refused(reason: str) -> Refusal:
    """Return the one answer to every assertion that does not fit; it carries no new challenge."""
    return Refusal(403, "assertion_refused", reason)


def unavailable(reason: str) -> NoReturn:
    """End the request because nobody can decide it now."""
    raise Refusal(503, "temporarily_unavailable", reason, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def sha256_base64url(data: bytes) -> str:
    """Return base64url of SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")


def _unique_members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("the body repeats a member")
    return members
