"""What goes to the verifier and comes back, of which only the members that count are read."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")

MAX_ANSWER_BYTES = 64 * 1024  # the verifier's longest answer, a key set, has a few KiB
VERIFIER_DEADLINE_SECONDS = 5.0  # for one whole answer, so that a verifier that drips can't hold requests

# What can stand in a quoted header parameter without escapes (RFC 9110 section 5.6.4).
HeaderText = Annotated[str, Meta(pattern=r"\A[!#-\[\]-~]+\Z")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to send to the verifier, complete with its headers."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the verifier said; a shell never follows a redirect. `dpop_nonce` is that header's value."""

    status: int
    content: bytes = field(repr=False)
    dpop_nonce: str | None = None


# Nothing came within the deadline, or more than is read.
NO_ANSWER = Answer(status=0, content=b"")

Steps = Generator[Call, Answer, T]


class Context(Struct):
    """What stands beside a decision; without a word about it, a step-up pays once."""

    outcome: Literal["allow", "step_up", "deny"]
    policy_digest: str
    acr_values: list[HeaderText] = []
    max_age: Annotated[int, Meta(ge=0)] | None = None
    bind: list[str] = []
    single_use: bool = True
    batch: dict[str, int] | None = None

    @property
    def counted(self) -> bool:
        """Return whether the verifier has to count what a step-up pays for."""
        return self.single_use or self.batch is not None


class Decision(Struct):
    """The answer to an evaluation (AuthZEN Authorization API 1.0 section 6.2)."""

    decision: bool
    context: Context


class Challenge(Struct, frozen=True, kw_only=True):
    """Where the subject steps up, and the nonce for a proof of the session's key."""

    stepup_uri: HeaderText
    dpop_nonce: HeaderText | None = None


class Spent(Struct):
    """The answer to a spend: for whom the assertion has paid."""

    spent: bool
    sub: str


class Refused(Struct):
    """Every refusal."""

    error: str


class KeySet(Struct):
    """The published keys (RFC 7517 section 5)."""

    keys: list[dict[str, str]]
