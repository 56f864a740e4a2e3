"""Every call that an operation makes to a store, a signer, a sealer or a random source fails once, before and after.

Whatever fails and wherever: the answer is a refusal, nothing was handed out, and the same people trying again arrive.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.faulty_random import FaultyRandom
from support.verifier import ORIGIN, TOKEN_FACTOR, Answer, Totp, UnsafeTestKey, World, b64, unb64

from keyrung_verifier.errors import StoreUnavailableError
from keyrung_verifier.store.sqlite import SqliteStore

STORE_CALLS = ("commit", "challenge", "credentials", "credential")
_ONCE = ("challenge.answered", "assertion.issued", "assertion.spent")


class Faults:
    """Counts calls, and has one of them fail: before it does anything, or after, as if its answer were lost."""

    def __init__(self) -> None:
        self.calls = 0
        self.fatal: tuple[int, bool] | None = None

    def arm(self, call: int | None = None, *, after: bool = False) -> None:
        """Begin to count; the call of that number fails."""
        self.calls, self.fatal = 0, None if call is None else (call, after)

    def around(self, work: Callable[..., Any], error: Exception) -> Callable[..., Any]:
        """Return the work with its fault point."""

        def faulty(*arguments: Any, **named: Any) -> Any:
            number, self.calls = self.calls, self.calls + 1
            if self.fatal == (number, False):
                raise error
            result = work(*arguments, **named)
            if self.fatal == (number, True):
                raise error
            return result

        return faulty


class Bench:
    """A verifier whose collaborators fail on demand, with people who can use it."""

    def __init__(self, folder: Path) -> None:
        self.faults = Faults()
        store, key, random = SqliteStore(folder / "store.db"), UnsafeTestKey("assertion"), FaultyRandom()
        self.world = World(folder, store=store, signer=key, random=random)
        self.totp: Totp = self.world.enrol_totp()
        self.token = self.world.enrol_token()
        self.world.evaluate("accounts.read")  # the policy is loaded by the first request
        lost = RuntimeError("out of reach")
        for name in STORE_CALLS:
            self._break(store, name, StoreUnavailableError("out of reach"))
        self._break(key, "sign", lost)
        self._break(self.world.sealer, "open", lost)
        self._break(random, "draw", OSError("no entropy"))

    def _break(self, holder: object, name: str, error: Exception) -> None:
        setattr(holder, name, self.faults.around(getattr(holder, name), error))

    def code(self) -> dict[str, str]:
        """Return an answer that no challenge has seen yet."""
        self.world.clock.advance(30)
        return {"factor": "otp", "code": self.totp.code(self.world.clock.now())}

    def signature(self, challenge_id: str) -> dict[str, str]:
        """Return the token's answer to a challenge."""
        offers = self.world.view(challenge_id).body["factors"]
        text = unb64(next(offer["signing_input"] for offer in offers if offer["type"] == TOKEN_FACTOR))
        signature = b64(self.token.sign(text))
        return {"factor": TOKEN_FACTOR, "credential_id": self.token.key_id, "origin": ORIGIN, "signature": signature}

    def assertion(self) -> str:
        """Return an assertion that was not spent yet."""
        answer = self.world.respond(self.world.challenge_id(), self.code())
        return str(answer.body["assertion"])


def _evaluate(bench: Bench) -> Callable[[], Answer]:
    return lambda: bench.world.evaluate("accounts.read")


def _challenge(bench: Bench) -> Callable[[], Answer]:
    return bench.world.challenge


def _view(bench: Bench) -> Callable[[], Answer]:
    challenge_id = bench.world.challenge_id()
    return lambda: bench.world.view(challenge_id)


def _respond_by_code(bench: Bench) -> Callable[[], Answer]:
    challenge_id, body = bench.world.challenge_id(), bench.code()
    return lambda: bench.world.respond(challenge_id, body)


def _respond_by_signature(bench: Bench) -> Callable[[], Answer]:
    challenge_id = bench.world.challenge_id()
    body = bench.signature(challenge_id)
    return lambda: bench.world.respond(challenge_id, body)


def _spend(bench: Bench) -> Callable[[], Answer]:
    assertion = bench.assertion()
    return lambda: bench.world.spend(assertion)


# Each prepares one try, which may be repeated with the very same request.
OPERATIONS: dict[str, Callable[[Bench], Callable[[], Answer]]] = {
    "evaluate": _evaluate,
    "make a challenge": _challenge,
    "see a challenge": _view,
    "answer by code": _respond_by_code,
    "answer by signature": _respond_by_signature,
    "spend": _spend,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("faults"))
    yield made
    made.world.close()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_fault_anywhere_is_a_refusal_and_what_is_tried_again_counts_once(
    bench: Bench, operation: str, after: bool
) -> None:
    prepare = OPERATIONS[operation]
    attempt = prepare(bench)
    bench.faults.arm()
    assert attempt().status in {200, 201}
    calls = bench.faults.calls
    assert calls > 0

    for call in range(calls):
        attempt = prepare(bench)
        bench.faults.arm(call, after=after)
        answer = attempt()
        bench.faults.arm()

        assert answer.status in {500, 503}, (call, answer.body)
        assert answer.body.keys() == {"error", "error_description", "correlation_id"}
        # The same request again: it arrives, or what it needs was used up, and then a new one does.
        again = attempt()
        assert again.status in {200, 201, 403}, (call, again.body)
        assert prepare(bench)().status in {200, 201}

    _each_at_most_once(bench.world.records())


def _each_at_most_once(records: list[dict[str, Any]]) -> None:
    """What failed half way was answered, earned and paid once or never, and the log has no gap."""
    succeeded = [record for record in records if record["outcome"] == "success"]
    done = [(record["event"], record["jti"] or record["challenge"]) for record in succeeded]
    events = {event: [name for each, name in done if each == event] for event in _ONCE}
    for event, names in events.items():
        assert len(set(names)) == len(names), event
    assert set(events["assertion.spent"]) <= set(events["assertion.issued"])
    assert [record["seq"] for record in records] == list(range(len(records)))
