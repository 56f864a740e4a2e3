"""What every store must hold, of its marks, counters, challenges and log; each store runs it in a test file of its own.

A back end gives the fixtures `store` (empty), `reopen` (another hand on the same memory) and `forget` (has what is over
at that time removed, as the engine does it).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest
from support.verifier import at_once

from keyrung_verifier.errors import AuditTailError
from keyrung_verifier.store.protocol import (
    NO_PREVIOUS,
    AcceptPolicy,
    AdvanceCounter,
    ConditionFailedError,
    ConsumeChallenge,
    ConsumeOnce,
    CountWrongAnswer,
    KeepAnswer,
    KeptAnswer,
    PutChallenge,
    SpendCounted,
    Store,
    Tail,
    Write,
)

Forget: TypeAlias = Callable[[int], None]
CHALLENGE = PutChallenge(challenge_hash="c", content=b"content", expires_at_seconds=1000)
MARK = ConsumeOnce(kind="assertion", key="j", keep_until_seconds=1000)


def line(tail: Tail) -> bytes:
    """Build a record that says where it stands."""
    return f"{tail.shard} {tail.seq + 1} {tail.hash}".encode()


def failed(store: Store, *writes: Write) -> Write | None:
    """Commit with a record; return the write whose condition did not hold."""
    try:
        store.commit(writes, [line])
    except ConditionFailedError as error:
        return error.write
    return None


def holds(store: Store, *writes: Write) -> bool:
    return failed(store, *writes) is None


def lines(store: Store) -> Sequence[bytes]:
    """Return the whole log, chain after chain."""
    tails = [store.audit_tail(shard) for shard in store.audit_shards]
    found = [store.audit_line(tail.shard, seq) for tail in tails for seq in range(tail.seq + 1)]
    return [each for each in found if each is not None]


def found_answers(store: Store) -> list[KeptAnswer]:
    found = store.challenge("c")
    assert found is not None
    return sorted(found.answers, key=lambda answer: answer.at_seconds)


class StoreContract:
    """Marks, counters, challenges, policies and the log."""

    def test_a_thing_is_consumed_once(self, store: Store) -> None:
        assert holds(store, MARK)
        assert not holds(store, MARK)
        assert holds(store, ConsumeOnce(kind="other", key="j", keep_until_seconds=1000))

    def test_a_thing_is_used_as_often_as_its_limit_says_whichever_limit_is_asked_for(
        self, store: Store, forget: Forget
    ) -> None:
        def used(limit: int) -> bool:
            return holds(store, SpendCounted(key="k", limit=limit, keep_until_seconds=1000))

        assert [used(3), used(2), used(2), used(3), used(3)] == [True, True, False, True, False]
        assert holds(store, SpendCounted(key="other", limit=1, keep_until_seconds=1000))
        forget(1001)
        assert used(1), "the count is forgotten after its time"

    @pytest.mark.parametrize(("value", "moves"), [(4, False), (5, False), (6, True)])
    def test_a_counter_only_moves_forward(self, store: Store, value: int, moves: bool) -> None:
        assert holds(store, AdvanceCounter(name="n", value=5))
        assert holds(store, AdvanceCounter(name="n", value=value)) is moves

    def test_a_condition_that_fails_undoes_everything_before_and_after_it(self, store: Store) -> None:
        assert holds(store, MARK)

        assert not holds(store, AdvanceCounter(name="n", value=5), MARK, CHALLENGE)

        assert holds(store, AdvanceCounter(name="n", value=1))
        assert store.challenge("c") is None
        assert len(lines(store)) == 2

    def test_a_record_that_cannot_be_built_undoes_the_writes(self, store: Store) -> None:
        def build(_tail: Tail) -> bytes:
            raise ValueError("no record")

        with pytest.raises(ValueError, match="no record"):
            store.commit([MARK], [build])

        assert holds(store, MARK)

    def test_a_challenge_is_put_once_and_consumed_once(self, store: Store) -> None:
        assert not holds(store, ConsumeChallenge(challenge_hash="c"))
        assert holds(store, CHALLENGE)
        assert not holds(store, CHALLENGE)
        assert holds(store, ConsumeChallenge(challenge_hash="c"))
        assert not holds(store, ConsumeChallenge(challenge_hash="c"))
        found = store.challenge("c")
        assert found is not None
        assert found.consumed

    def test_a_challenge_keeps_one_answer_of_each_name_while_it_lives(self, store: Store) -> None:
        code = KeptAnswer(name="otp", factors=("otp",), credential_id="id-1", amr=("otp",), at_seconds=5)
        names = ("urn:keyrung:possession", "token-signature-origin-bound")
        signed = KeptAnswer(name=names[0], factors=names, credential_id="id-2", amr=("hwk", "pop"), at_seconds=6)

        def keep(answer: KeptAnswer) -> KeepAnswer:
            return KeepAnswer(challenge_hash="c", answer=answer, expires_at_seconds=1000)

        assert not holds(store, keep(code))
        assert holds(store, CHALLENGE)
        assert found_answers(store) == []
        assert holds(store, keep(code))
        assert not holds(store, keep(replace(code, at_seconds=7)))
        assert holds(store, keep(signed))
        assert found_answers(store) == [code, signed]
        assert holds(store, ConsumeChallenge(challenge_hash="c"))
        assert not holds(store, keep(replace(code, name="later")))

    def test_wrong_answers_end_a_challenge(self, store: Store) -> None:
        holds(store, CHALLENGE)
        wrong = CountWrongAnswer(challenge_hash="c")

        assert [holds(store, wrong) for _ in range(6)] == [True] * 5 + [False]
        assert not holds(store, ConsumeChallenge(challenge_hash="c"))

    @pytest.mark.parametrize(
        ("version", "digest", "accepted"), [(4, "x", False), (5, "x", True), (5, "y", False), (6, "y", True)]
    )
    def test_a_policy_version_never_goes_back(self, store: Store, version: int, digest: str, accepted: bool) -> None:
        assert store.accepted_policy_version() == 0
        assert holds(store, AcceptPolicy(version=5, digest="x"))

        assert holds(store, AcceptPolicy(version=version, digest=digest)) is accepted
        assert store.accepted_policy_version() == (version if accepted else 5)

    @pytest.mark.parametrize(("now", "forgotten"), [(1000, False), (1001, True)])
    def test_a_mark_is_kept_as_long_as_it_says(self, store: Store, forget: Forget, now: int, forgotten: bool) -> None:
        holds(store, MARK)
        forget(now)

        assert holds(store, MARK) is forgotten

    @pytest.mark.parametrize(("now", "forgotten"), [(1000, False), (1120, False), (1121, True)])
    def test_a_challenge_is_kept_twice_the_skew_beyond_its_end(
        self, store: Store, forget: Forget, now: int, forgotten: bool
    ) -> None:
        holds(store, CHALLENGE)
        forget(now)

        assert (store.challenge("c") is None) is forgotten

    def test_the_first_condition_that_fails_is_the_one_that_is_told(self, store: Store) -> None:
        other = ConsumeOnce(kind="other", key="j", keep_until_seconds=1000)
        assert holds(store, MARK, other)

        for first, second in ((MARK, other), (other, MARK)):
            assert failed(store, AdvanceCounter(name="n", value=1), first, second) == first

    def test_what_was_committed_is_there_for_every_other_hand(self, store: Store, reopen: Callable[[], Store]) -> None:
        assert holds(store, MARK, CHALLENGE)
        other = reopen()

        assert not holds(other, MARK)
        assert holds(other, ConsumeChallenge(challenge_hash="c"))
        assert not holds(store, ConsumeChallenge(challenge_hash="c"))
        assert len(lines(store)) == 2

    def test_of_200_that_use_up_one_thing_at_once_exactly_one_does(
        self, store: Store, reopen: Callable[[], Store]
    ) -> None:
        hands = [store, reopen()]

        results = at_once(200, lambda number: holds(hands[number % 2], MARK))

        assert results.count(True) == 1
        assert len(lines(store)) == 1

    def test_of_50_uses_of_a_batch_at_once_exactly_its_limit_holds(
        self, store: Store, reopen: Callable[[], Store]
    ) -> None:
        hands, use = [store, reopen()], SpendCounted(key="batch", limit=10, keep_until_seconds=1000)

        assert at_once(50, lambda number: holds(hands[number % 2], use)).count(True) == 10

    def test_records_of_many_hands_make_whole_chains(self, store: Store, reopen: Callable[[], Store]) -> None:
        hands = [store, reopen()]

        ends = at_once(40, lambda number: hands[number % 2].commit([], [line, line]))

        assert Counter(len(lines(each)) for each in hands) == {80: 2}
        assert len({(end.shard, end.seq) for end in ends}) == 40
        for shard in store.audit_shards:
            previous = NO_PREVIOUS
            for seq in range(store.audit_tail(shard).seq + 1):
                found = store.audit_line(shard, seq) or b""
                assert found == f"{shard} {seq} {previous}".encode()
                previous = hashlib.sha256(found).hexdigest()

    def test_a_chain_that_is_named_takes_the_records(self, store: Store) -> None:
        for shard in store.audit_shards:
            assert store.commit([], [line], shard=shard) == store.audit_tail(shard)

        assert all(store.audit_tail(shard).seq == 0 for shard in store.audit_shards)

    def test_nothing_is_appended_to_a_chain_that_was_shortened(
        self, store: Store, reopen: Callable[[], Store], remove_line: Callable[[str, int], None]
    ) -> None:
        for shard in store.audit_shards:
            store.commit([], [line, line], shard=shard)
            remove_line(shard, 1)

        with pytest.raises(AuditTailError, match="does not end in what was written last"):
            reopen().commit([MARK], [line])
        with pytest.raises(AuditTailError, match="does not end in what was written last"):
            reopen().audit_tail(store.audit_shards[0])
