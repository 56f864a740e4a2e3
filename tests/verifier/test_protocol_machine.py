"""The whole protocol, driven at random by honest people and by an adversary who knows everything that was ever sent.

The adversary holds every challenge id, session, answer and assertion; replays, reorders, swaps and tampers with them;
moves the clock, revokes, rotates keys, changes the policy, and crashes the verifier before and after commits. A model
that shares no code with the verifier says what was earned: nothing else is ever handed out, and nothing pays twice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from support.crashing_store import When
from support.dpop import DpopClient
from support.protocol_driver import CLIENT_KEY, SUBJECTS, ProtocolDriver
from support.protocol_model import CHALLENGE_SECONDS, RULES, SKEW_SECONDS, STEP_SECONDS, Earned, Given, Question
from support.verifier import (
    CLIENT,
    ORIGIN,
    OTHER_CLIENT,
    TOKEN_FACTOR,
    UnsafeTestKey,
    b64,
    http_request,
)

from keyrung_verifier.store.protocol import (
    AdvanceCounter,
    ConsumeChallenge,
    SpendCounted,
)

# The last one is bound to a key of its client, which the adversary does not hold.
SESSIONS = ["sid-1", "sid-2", {"id": "sid-3", "dpop_jkt": CLIENT_KEY}]
CLIENTS = [CLIENT, OTHER_CLIENT]
REQUESTS = [http_request(), http_request(uri="https://api.example/other"), http_request(method="PUT")]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

CHOICES: dict[str, list[Any]] = {
    "subject": SUBJECTS,
    "session": SESSIONS,
    "client": CLIENTS,
    "action": sorted(RULES),
    "request": REQUESTS,
}
questions = st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in CHOICES.items()})
factors = st.sampled_from(["otp", TOKEN_FACTOR])
# How far back in what was seen: the adversary likes what is fresh.
back = st.integers(0, 5)
Seen = TypeVar("Seen")


class Protocol(ProtocolDriver):
    """The verifier beside its model."""

    @initialize()
    def begin(self) -> None:
        self.set_up()
        question = {"subject": "alice", "session": "sid-1", "client": CLIENT, "action": "profile.update"}
        self.step_up({**question, "request": REQUESTS[0]}, "otp")

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.tear_down()

    # -- honest people ------------------------------------------------------------------------------------------

    @rule(question=questions)
    def ask(self, question: Question) -> None:
        """An application has a challenge made."""
        self.have_asked(question)

    @rule(challenge=back, factor=factors)
    def prepare(self, challenge: int, factor: str) -> None:
        """The subject makes an answer, which the adversary sees and may keep from arriving."""
        self.make_answer(_seen(self.asked, challenge), factor)

    @rule(question=questions, factor=factors)
    def step_up(self, question: Question, factor: str) -> None:
        """The whole way, and nobody is in the way; who was locked out is bound anew first."""
        subject = question["subject"]
        if self.failed_lately(subject, factor):
            self.enrol_another(subject, factor)
        wait_steps = self.model.last_step.get(subject, -1) + 1 - self.model.now // STEP_SECONDS
        if factor == "otp" and 0 < wait_steps <= 2:
            self.set_clock_by(wait_steps * STEP_SECONDS)
        asked = self.have_asked(question)
        given = self.make_answer(asked, factor) if asked else None
        if asked and given:
            self.send_answer(asked, given)

    @rule(assertion=back)
    def pay(self, assertion: int) -> None:
        """The application spends an assertion for the request it was made for; a second time it is a replay."""
        earned = _seen(self.earned, assertion)
        self.send_spend(earned, _question(earned))

    # -- the adversary ------------------------------------------------------------------------------------------

    @rule(challenge=back, answer=back)
    def replay_or_swap(self, challenge: int, answer: int) -> None:
        """Send an answer that was seen, for any challenge, at any time, any number of times."""
        self.send_answer(_seen(self.asked, challenge), _seen(self.given, answer))

    @rule(question=questions, factor=factors)
    def replay_at_once(self, question: Question, factor: str) -> None:
        """Send an answer that was just taken for the same question, asked a second time."""
        self.step_up(question, factor)
        given, again = _seen(self.given, 0), self.have_asked(question)
        if again:
            self.send_answer(again, given)

    @rule(question=questions, seconds=st.sampled_from([CHALLENGE_SECONDS - 1, CHALLENGE_SECONDS]))
    def answer_late(self, question: Question, seconds: int) -> None:
        """Answer rightly, within the last second of a challenge or just after it."""
        asked = self.have_asked(question)
        self.set_clock_by(seconds)
        given = self.make_answer(asked, TOKEN_FACTOR) if asked else None
        if asked and given:
            self.send_answer(asked, given)

    @rule(answer=back, other=back, at=st.integers(0, 200))
    def tamper_with_an_answer(self, answer: int, other: int, at: int) -> None:
        """Change one character of an answer, or give it to another credential, origin or factor."""
        given, stranger = _seen(self.given, answer), _seen(self.given, other)
        body = dict(given.body)
        name = sorted(body)[at % len(body)]
        if name == "signature":
            place = at % len(body[name])
            body[name] = body[name][:place] + _another(body[name][place], "AB") + body[name][place + 1 :]
        elif name == "code":
            body[name] = f"{(int(body[name]) + 1 + at) % 1_000_000:06d}"
        elif name == "credential_id":
            body[name] = stranger.holding.credential_id if stranger.holding is not given.holding else "unknown"
        elif name == "origin":
            body[name] = f"{ORIGIN}.evil.example"
        else:
            body[name] = "otp" if body[name] == TOKEN_FACTOR else TOKEN_FACTOR
        changed = Given(asked=given.asked, holding=given.holding, body=body, tampered=True)
        self.send_answer(given.asked, changed)

    @rule(question=questions, stolen=st.booleans(), at=back, what=st.sampled_from(sorted(CHOICES)), choice=back)
    def spend_elsewhere(self, question: Question, stolen: bool, at: int, what: str, choice: int) -> None:
        """Spend an assertion at another client, for another subject, in another session, for something else."""
        if stolen:  # right after it was earned, when nothing but the change can be wrong
            self.step_up(question, TOKEN_FACTOR)
        earned = _seen(self.earned, 0 if stolen else at)
        asked = _question(earned)
        others = [one for one in CHOICES[what] if one != asked[what]]
        self.send_spend(earned, asked | {what: _seen(others, choice)})

    @rule(question=questions, stolen=st.booleans(), at=st.integers(0, 2000), other=back, splice=st.booleans())
    def forge(self, question: Question, stolen: bool, at: int, other: int, splice: bool) -> None:
        """Change one character of an assertion, or sign one with the signature of another."""
        if stolen:
            self.step_up(question, TOKEN_FACTOR)
        earned, stranger = _seen(self.earned, 0 if stolen else at), _seen(self.earned, other)
        text = earned.text
        if splice and stranger is not earned:
            text = f"{text.rpartition('.')[0]}.{stranger.text.rpartition('.')[2]}"
        else:
            place = at % len(text)
            text = text[:place] + _another(text[place], ALPHABET[at % len(ALPHABET)] + "AB") + text[place + 1 :]
        answer = self.post_spend(text, _question(earned), self.use_of(_question(earned)))
        assert answer.status in {403, 503}, answer.body

    @rule(question=questions, factor=factors, proof=back)
    def answer_and_spend_without_the_key(self, question: Question, factor: str, proof: int) -> None:
        """Steal the answer, then the assertion, of a session with a key, and try with no proof or another one."""
        question = question | {"session": SESSIONS[-1]}
        asked = self.have_asked(question)
        given = self.make_answer(asked, factor) if asked else None
        if asked and given:
            others = [one.proof for one in self.given if one.proof is not None and one is not given]
            stolen = replace(given, proof=_seen([*others, None], proof))
            self.send_answer(asked, stolen)
        self.step_up(question, factor)
        earned = _seen(self.earned, 0)
        if earned.asked.bound:
            honest = self.use_of(_question(earned))
            assert honest is not None
            for use in (None, honest | {"token_sha256": b64(bytes(32))}, DpopClient(self.world, "mallory").use()):
                assert self.post_spend(earned.text, _question(earned), use).status in {400, 403, 503}

    @rule(question=questions, early=st.booleans())
    def pay_late(self, question: Question, early: bool) -> None:
        """Spend within the last second of an assertion, or just after it."""
        self.step_up(question, TOKEN_FACTOR)
        self.set_clock_by(RULES[_seen(self.earned, 0).asked.action].ttl_seconds - early)
        self.pay(0)

    @rule(challenge=back)
    def look(self, challenge: int) -> None:
        """A challenge shows itself while it lives, and never afterwards."""
        asked = _seen(self.asked, challenge)
        over = self.model.now >= asked.made_at + CHALLENGE_SECONDS or asked.policy != self.model.policy
        assert self.world.view(asked.challenge_id).status != 200 or not (asked.used or over)

    @rule(seconds=st.sampled_from([1, 29, 31, 61, 119, 121, 301, -1, -29, -31, -61, -301]))
    def move_the_clock(self, seconds: int) -> None:
        self.set_clock_by(seconds)

    @rule(commits=st.integers(0, 2), when=st.sampled_from(["before", "after"]))
    def crash(self, commits: int, when: When) -> None:
        """The verifier will fail at one of its next commits, before or after it is durable."""
        self.store.crash_at(commits, when)

    # -- operators ------------------------------------------------------------------------------------------------

    @rule(at=back)
    def revoke(self, at: int) -> None:
        """Somebody reports the credential that earned something, or another one, as lost."""
        holding = _seen(self.earned, at).holding
        if holding.living:
            self.store.crash = None
            self.world.credentials.revoke(holding.credential_id)
            holding.living = False
            self.pay(at)
            self.enrol_another(holding.subject, holding.factor)

    @rule(what=st.sampled_from(["policy", "rotation", "compromise", "restart", "upkeep"]), question=questions, at=back)
    def operate(self, what: str, question: Question, at: int) -> None:
        """Deploy a policy, rotate the key, find an earlier one compromised, restart, or keep house; with work open."""
        self.step_up(question, TOKEN_FACTOR)
        self._operate(what, at)
        self.pay(0)
        self.replay_or_swap(0, 0)

    def _operate(self, what: str, at: int) -> None:
        if what == "policy":
            self.deploy_policy()
        elif what == "rotation":
            number = len(self.keys) + 1
            self.keys.append(UnsafeTestKey("rotated", secret=number, generation=number))
            self.hand_over(self.keys[-1], "key.created", "key.activated")
            self.renew_line()
            self.end_key(self.keys[-2], "deactivated")
        elif what == "compromise" and len(self.keys) > 1:
            self.end_key(_seen(self.keys[:-1], at), "compromised")
        elif what == "restart":
            self.world.close()
            self.world = self.open_world()
        else:
            self.store.crash = None
            self.world.verifier.maintain()
            for asked in self.asked:
                # Forgotten for good, two skews after its end.
                over = asked.made_at + CHALLENGE_SECONDS + 2 * SKEW_SECONDS < self.model.now
                asked.used = asked.used or over

    @invariant()
    def nothing_is_used_up_twice(self) -> None:
        writes = self.durable()
        challenges = [write.challenge_hash for write in writes if isinstance(write, ConsumeChallenge)]
        uses = Counter((write.key, write.limit) for write in writes if isinstance(write, SpendCounted))
        assert len(set(challenges)) == len(challenges)
        assert all(count <= limit for (_, limit), count in uses.items())
        for subject in SUBJECTS:
            steps = [w.value for w in writes if isinstance(w, AdvanceCounter) and w.name.endswith(f":{subject}")]
            assert steps == sorted(set(steps))


def _seen(what: Sequence[Seen], back: int) -> Seen:
    return what[-1 - back % len(what)]


def _question(earned: Earned) -> Question:
    """Return what the assertion was made for."""
    asked = earned.asked
    return {name: getattr(asked, name) for name in CHOICES}


def _another(character: str, candidates: str) -> str:
    return next(candidate for candidate in candidates if candidate != character)


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)


class ProtocolAtLength(Protocol):
    """The same with many more steps."""


TestProtocolAtLength = pytest.mark.slow(ProtocolAtLength.TestCase)
TestProtocolAtLength.settings = settings(max_examples=300, stateful_step_count=100, deadline=None)
