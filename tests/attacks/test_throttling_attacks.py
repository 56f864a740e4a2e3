"""What somebody breaks or learns by answering wrongly: lock others out, reset a count, tell who is who by the work."""

from collections import Counter
from typing import Any

import pytest
from support.verifier import ORIGIN, TOKEN_FACTOR, Answer, Totp, UnsafeTestKey, World, b64, unb64

from keyrung_verifier.store.protocol import Store


@pytest.fixture
def key(world: World) -> UnsafeTestKey:
    return world.enrol_token()


def sign(world: World, challenge_id: str, key: UnsafeTestKey, *, text: bytes | None = None) -> Answer:
    offers = world.view(challenge_id).body["factors"]
    offered = next(offer["signing_input"] for offer in offers if offer["type"] == TOKEN_FACTOR)
    signature = b64(key.sign(unb64(offered) if text is None else text))
    answer = {"factor": TOKEN_FACTOR, "credential_id": key.key_id, "origin": ORIGIN, "signature": signature}
    return world.respond(challenge_id, answer)


def lock(world: World, subject: str = "alice") -> None:
    """Fail until the one-time password is locked."""
    for _ in range(10):
        assert world.respond_code(world.challenge_id(subject=subject), "00000x").status == 403
        world.clock.advance(600)


def test_wrong_signatures_lock_nobody_out(world: World, totp: Totp, key: UnsafeTestKey) -> None:
    for _ in range(20):
        assert sign(world, world.challenge_id(), key, text=b"another text").status == 403

    assert world.store.failure_rows() == []
    assert sign(world, world.challenge_id(), key).status == 200
    assert world.respond_code(world.challenge_id(), totp.code(world.clock.now())).status == 200


def test_wrong_signatures_end_the_challenge_all_the_same(world: World, key: UnsafeTestKey) -> None:
    challenge_id = world.challenge_id()
    text = unb64(world.view(challenge_id).body["factors"][0]["signing_input"])
    for _ in range(5):
        answer = {"factor": TOKEN_FACTOR, "credential_id": key.key_id, "origin": ORIGIN, "signature": b64(bytes(64))}
        assert world.respond(challenge_id, answer).status == 403

    answer["signature"] = b64(key.sign(text))
    assert world.respond(challenge_id, answer).status == 403
    assert world.last_reason("challenge.answered") == "exhausted"


def test_a_locked_code_leaves_the_token_of_the_same_subject_alone(world: World, totp: Totp, key: UnsafeTestKey) -> None:
    lock(world)

    assert world.respond_code(world.challenge_id(), totp.code(world.clock.now())).status == 403
    assert sign(world, world.challenge_id(), key).status == 200


def test_success_with_one_factor_does_not_clear_the_failures_of_another(
    world: World, totp: Totp, key: UnsafeTestKey
) -> None:
    for _ in range(3):
        world.respond_code(world.challenge_id(), "00000x")
        world.clock.advance(600)

    assert sign(world, world.challenge_id(), key).status == 200
    assert [row.failures for row in world.store.failure_rows("alice")] == [3]
    assert world.respond_code(world.challenge_id(), totp.code(world.clock.now())).status == 200
    assert list(world.store.failure_rows("alice")) == []


# -- the same work, whoever it is ---------------------------------------------------------------------------------


class CountingStore:
    """A store that counts what is asked of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        if not callable(member):
            return member

        def counted(*arguments: Any, **named: Any) -> Any:
            self.asked[name] += 1
            return member(*arguments, **named)

        return counted


def work_of(world: World, subject: str, code: str, monkeypatch: pytest.MonkeyPatch, *, before: Any = None) -> Any:
    """Return what one answer costs and looks like: reads of the store, seeds opened, and the answer without its id."""
    challenge_id = world.challenge_id(subject=subject)
    if before is not None:
        before()
    counting = CountingStore(world.store)
    with monkeypatch.context() as patch:
        patch.setattr(type(world.verifier._core), "store", counting)
        patch.setattr(world.audit, "_store", counting)
        opened = world.sealer.opened
        answer = world.respond_code(challenge_id, code)
    del counting.asked["commit"]  # one that refuses is tried again without what does not hold
    return dict(counting.asked), world.sealer.opened - opened, answer.status, answer.without_correlation()


def test_wrong_locked_and_revoked_cost_the_same_work_and_look_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: dict[str, Totp] = {name: world.enrol_totp(name) for name in ("alice", "locked", "revoked", "waiting")}
    lock(world, "locked")
    for _ in range(5):
        world.respond_code(world.challenge_id(subject="waiting"), "00000x")
        world.clock.advance(600)
    world.respond_code(world.challenge_id(subject="waiting"), "00000x")
    right = {name: totp.code(world.clock.now()) for name, totp in codes.items()}

    def revoke() -> None:
        world.credentials.revoke(codes["revoked"].credential_id)

    wrong = work_of(world, "alice", "000000", monkeypatch)

    assert wrong[:2] == ({"challenge": 1, "credentials": 1}, 1), "and one seed was opened"
    for code in (right["locked"], "000000"):
        assert work_of(world, "locked", code, monkeypatch) == wrong
    assert work_of(world, "waiting", right["waiting"], monkeypatch) == wrong
    assert work_of(world, "revoked", right["revoked"], monkeypatch, before=revoke) == wrong


def test_the_person_sees_the_same_offers_locked_revoked_or_neither(world: World) -> None:
    seen = []
    for name in ("alice", "locked", "revoked"):
        made = world.enrol_totp(name)
        if name == "locked":
            lock(world, name)
        challenge_id = world.challenge_id(subject=name)
        if name == "revoked":
            world.credentials.revoke(made.credential_id)
        view = world.view(challenge_id)
        seen.append((view.status, view.body["factors"], sorted(view.body)))

    assert seen[0] == seen[1] == seen[2]
