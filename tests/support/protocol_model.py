"""What the protocol owes, written without the verifier's code: which answers may earn, which spends may pay.

The model keeps what was done by whom; the machine that drives the verifier asks it before it believes an answer.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from support.verifier import ORIGIN, TOKEN_FACTOR, Totp, UnsafeTestKey, b64, catalog_texts, unb64

from keyrung_policies.compile import compile_texts
from keyrung_policies.policy_set import PolicySet
from keyrung_verifier.callers import Client

STEP_SECONDS = 30
CHALLENGE_SECONDS = 300
SKEW_SECONDS = 60
PARTS = ("method", "uri", "body")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What the policy asks for an action: which factors reach it and as which level, and what an assertion is good for.

    ``uses`` is None where nobody counts.
    """

    levels: dict[str, str]
    bind: tuple[str, ...] = PARTS
    uses: int | None = 1
    batch: dict[str, int] | None = None
    ttl_seconds: int = 120


_EITHER = {"otp": "urn:keyrung:otp", TOKEN_FACTOR: "phr"}
RULES = {
    "profile.update": Rule(levels=_EITHER),
    "customers.export": Rule(levels={TOKEN_FACTOR: "phr"}),
    "reports.read": Rule(
        levels=_EITHER, bind=("method",), uses=3, batch={"count": 3, "within_seconds": 60}, ttl_seconds=60
    ),
    "reports.list": Rule(levels=_EITHER, bind=(), uses=None, ttl_seconds=300),
}
# What the sample policy lacks of them.
MORE_RULES = b"""
  - id: read-reports
    actions: [reports.read]
    require: {level: otp, max_age: 300s, bind: [method], batch: {count: 3, within: 60s}}

  - id: list-reports
    actions: [reports.list]
    require: {level: otp, max_age: 300s, bind: [], single_use: false}
"""
AMR = {"otp": ["otp"], TOKEN_FACTOR: ["swk", "pop"]}
Question = dict[str, Any]


@dataclass(kw_only=True, eq=False)
class Holding:
    """A credential of a subject, and its secret."""

    subject: str
    factor: str
    credential_id: str
    secret: Totp | UnsafeTestKey = field(repr=False)
    living: bool = True


@dataclass(kw_only=True, eq=False)
class Asked:
    """A challenge, and all that it is about."""

    challenge_id: str
    client: Client
    subject: str
    session: Any
    action: str
    request: dict[str, str]
    policy: str
    made_at: int
    factors: frozenset[str]
    used: bool = False
    wrong: int = 0

    @property
    def bound(self) -> bool:
        """Whether the session has a key, which the adversary does not hold."""
        return not isinstance(self.session, str)


@dataclass(kw_only=True, eq=False)
class Proved:
    """A proof that the session's key was at hand, made for the answer to one challenge."""

    asked: Asked
    text: str = field(repr=False)
    at: int
    used: bool = False


@dataclass(kw_only=True, eq=False)
class Given:
    """An answer that the holder of a credential made for one challenge; whoever sees it may send it anywhere."""

    asked: Asked
    holding: Holding
    body: dict[str, Any]
    step: int | None = None
    proof: Proved | None = None
    tampered: bool = False


@dataclass(kw_only=True, eq=False)
class Earned:
    """An assertion that was handed out."""

    text: str = field(repr=False)
    asked: Asked
    holding: Holding
    key: UnsafeTestKey
    at: int
    spent: int = 0


@dataclass(kw_only=True)
class Model:
    """The protocol's memory."""

    now: int
    policy: str = ""
    holdings: list[Holding] = field(default_factory=list)
    shown_steps: set[tuple[str, int]] = field(default_factory=set)
    last_step: dict[str, int] = field(default_factory=dict)

    def held(self, subject: str) -> frozenset[str]:
        """Return the factors that a subject can answer with."""
        return frozenset(one.factor for one in self.holdings if one.subject == subject and one.living)

    def may_earn(self, asked: Asked, given: Given) -> bool:
        """Return whether this answer, sent for this challenge now, was earned."""
        factor = given.holding.factor
        if asked.used or asked.wrong >= 5 or self.now >= asked.made_at + CHALLENGE_SECONDS:
            return False
        if asked.policy != self.policy or factor not in asked.factors or given.tampered or not given.holding.living:
            return False
        if given.holding.subject != asked.subject or (asked.bound and not self._proven(asked, given.proof)):
            return False
        if given.step is None:
            return given.asked is asked
        # A code is bound to its holder and its moment, not to a challenge: whoever sees it first may use it, once.
        return (
            abs(given.step - self.now // STEP_SECONDS) <= 1
            and given.step > self.last_step.get(asked.subject, -1)
            and (asked.subject, given.step) in self.shown_steps
        )

    def _proven(self, asked: Asked, proof: Proved | None) -> bool:
        fresh = proof is not None and abs(self.now - proof.at) <= SKEW_SECONDS
        return proof is not None and fresh and proof.asked is asked and not proof.used

    def may_spend(self, earned: Earned, question: Question) -> bool:
        """Return whether this assertion pays for what is asked now."""
        asked, rule = earned.asked, RULES[earned.asked.action]
        same = [(asked.client, question["client"]), (asked.subject, question["subject"])]
        same += [(asked.session, question["session"]), (asked.action, question["action"])]
        return (
            (rule.uses is None or earned.spent < rule.uses)
            and all(one == other for one, other in same)
            and digest_of(asked.request, rule.bind) == digest_of(question["request"], rule.bind)
            and asked.policy == self.policy
            and earned.holding.living
            and earned.key.state in {"active", "deactivated"}
            and self.now < earned.at + rule.ttl_seconds
            and earned.at <= self.now + SKEW_SECONDS
        )


@cache
def policy_of(minutes: int) -> PolicySet:
    """Return the sample policy with more rules, and with that age for what the sample requires."""
    (text,) = catalog_texts().values()
    text = text.replace(b"max_age: 5m", f"max_age: {minutes}m".encode())
    return compile_texts({"machine.yaml": text.replace(b"rules:\n", b"rules:" + MORE_RULES + b"\n")}).policy


def digest_of(request: dict[str, str], bind: Sequence[str]) -> str:
    """Return the digest of the bound parts of a request, put together here a second time."""
    parts = request["method"].encode(), request["uri"].encode(), unb64(request["body_sha256"])
    bound = [part if name in bind else b"" for name, part in zip(PARTS, parts, strict=True)]
    return b64(hashlib.sha256(_fields(b"keyrung request v1", *bound)).digest())


def signed_text(asked: Asked) -> bytes:
    """Return what an honest token signs for a challenge, put together here a second time."""
    no_display = b64(hashlib.sha256(b"").digest())
    texts = [
        ORIGIN,
        asked.challenge_id,
        asked.subject,
        digest_of(asked.request, RULES[asked.action].bind),
        asked.action,
        asked.policy,
    ]
    texts += [no_display, str(asked.made_at + CHALLENGE_SECONDS)]
    return _fields(b"keyrung token-signature-origin-bound v1", *(text.encode() for text in texts))


def code_of(seed: bytes, step: int) -> str:
    """Return the code of RFC 6238, put together here a second time."""
    digest = hmac.digest(seed, step.to_bytes(8), "sha1")
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF) % 1_000_000:06d}"


def _fields(*fields: bytes) -> bytes:
    return b"".join(len(text).to_bytes(4) + text for text in fields)
