"""What every store must hold of the subjects: their credentials, failures, tickets and what they earned."""

import pytest
from contract.store import Forget, failed, holds, line
from support.verifier import at_once

from keyrung_verifier.limits import FAILURE_DELAYS_SECONDS
from keyrung_verifier.store.protocol import (
    AddCredential,
    ClearFailures,
    CountFailure,
    Credential,
    ForgetFailures,
    KeepAssertion,
    KeepTicket,
    RedeemTicket,
    RequireEarned,
    RevokeCredential,
    RevokeTicket,
    Store,
    Ticket,
    UseCredential,
    Write,
)


def credential(number: int, *, subject: str = "alice") -> Credential:
    return Credential(
        credential_id=f"id-{number}", subject_id=subject, factor="otp", sealed_seed="sealed", created_at_seconds=number
    )


def ticket(number: int, *, subject: str = "alice", created: int = 0, expires: int = 1000) -> Ticket:
    return Ticket(
        ticket_id=f"id-{number}",
        ticket_hash=f"hash-{number}",
        subject_id=subject,
        factor="webauthn",
        created_at_seconds=created,
        expires_at_seconds=expires,
    )


def attempt(now_seconds: int) -> CountFailure:
    return CountFailure(subject_id="alice", factor="otp", now_seconds=now_seconds)


class SubjectsContract:
    """Credentials, failures in a row, tickets, and which credential earned an assertion."""

    def test_a_locked_factor_refuses_success_and_failure_alike(self, store: Store) -> None:
        moment = 0
        for _ in range(10):
            assert holds(store, CountFailure(subject_id="a", factor="otp", now_seconds=moment))
            moment += 1000

        for later in (moment, moment + 10**9):
            assert not holds(store, CountFailure(subject_id="a", factor="otp", now_seconds=later))
            assert not holds(store, ClearFailures(subject_id="a", factor="otp", now_seconds=later))
        assert holds(store, ClearFailures(subject_id="b", factor="otp", now_seconds=0))
        assert holds(store, ClearFailures(subject_id="a", factor="other", now_seconds=0))

    def test_credentials_are_unique_bounded_and_revoked_once(self, store: Store) -> None:
        assert holds(store, AddCredential(credential=credential(1)))
        assert not holds(store, AddCredential(credential=credential(1, subject="bob")))
        for number in range(2, 6):
            assert holds(store, AddCredential(credential=credential(number)))
        assert not holds(store, AddCredential(credential=credential(6)))
        assert holds(store, RevokeCredential(credential_id="id-1", now_seconds=50))
        assert not holds(store, RevokeCredential(credential_id="id-1", now_seconds=60))
        assert not holds(store, RevokeCredential(credential_id="nobody", now_seconds=60))
        assert holds(store, AddCredential(credential=credential(6)))
        first = store.credentials("alice")[0]
        assert (first.credential_id, first.revoked_at_seconds) == ("id-1", 50)
        assert store.credentials("ALICE") == []
        assert len(store.credentials()) == 6

    def test_only_a_credential_that_stands_is_used_and_earns(self, store: Store) -> None:
        earned = KeepAssertion(jti_hash="j", credential_ids=("id-1",), keep_until_seconds=1000)
        use = UseCredential(credential_id="id-1", now_seconds=5)
        assert not holds(store, use)
        assert not holds(store, earned)
        assert holds(store, AddCredential(credential=credential(1)))
        assert holds(store, use, earned)
        found = store.credential("id-1")
        assert found is not None
        assert found.last_used_at_seconds == 5
        assert not holds(store, earned)  # one assertion, one name
        assert holds(store, RequireEarned(jti_hash="j"))
        assert not holds(store, RequireEarned(jti_hash="of nobody"))

        assert holds(store, RevokeCredential(credential_id="id-1", now_seconds=6))

        assert not holds(store, use)
        assert not holds(store, RequireEarned(jti_hash="j"))
        assert not holds(store, KeepAssertion(jti_hash="k", credential_ids=("id-1",), keep_until_seconds=1000))

    @pytest.mark.parametrize("revoked", ["id-1", "id-2"])
    def test_what_several_credentials_earned_stands_with_all_of_them(self, store: Store, revoked: str) -> None:
        earned = KeepAssertion(jti_hash="j", credential_ids=("id-1", "id-2"), keep_until_seconds=1000)
        assert holds(store, AddCredential(credential=credential(1)))
        assert not holds(store, earned)
        assert not holds(store, RequireEarned(jti_hash="j"))
        assert holds(store, AddCredential(credential=credential(2)))
        assert holds(store, earned)
        assert holds(store, RequireEarned(jti_hash="j"))
        assert holds(store, RevokeCredential(credential_id=revoked, now_seconds=6))
        assert not holds(store, RequireEarned(jti_hash="j"))

    def test_what_earned_an_assertion_is_forgotten_after_its_time(self, store: Store, forget: Forget) -> None:
        earned = KeepAssertion(jti_hash="j", credential_ids=("id-1",), keep_until_seconds=1000)
        assert holds(store, AddCredential(credential=credential(1)))
        assert holds(store, earned)
        forget(1000)
        assert holds(store, RequireEarned(jti_hash="j"))
        forget(1001)
        assert not holds(store, RequireEarned(jti_hash="j"))

    def test_failures_are_listed_for_one_subject_or_all(self, store: Store) -> None:
        for subject in ("alice", "alice", "bob"):
            assert holds(store, CountFailure(subject_id=subject, factor="otp", now_seconds=100))
        rows = [(row.subject_id, row.factor, row.failures) for row in store.failure_rows()]
        assert sorted(rows) == [("alice", "otp", 2), ("bob", "otp", 1)]
        assert [row.failures for row in store.failure_rows("bob")] == [1]
        assert list(store.failure_rows("nobody")) == []

    def test_a_credential_comes_back_as_it_was_kept(self, store: Store) -> None:
        kept = Credential(
            credential_id="id",
            subject_id="alice #1/ü",
            factor="token-signature-attested",
            public_jwk={"kty": "EC", "crv": "P-256"},
            evidence={"hardware": True, "serial": "1", "count": 3},
            created_at_seconds=5,
        )
        assert holds(store, AddCredential(credential=kept))

        assert store.credential("id") == kept
        assert store.credentials("alice #1/ü") == [kept]
        assert store.credential("other") is None

    def test_each_failure_in_a_row_waits_as_long_as_its_number_says(self, store: Store) -> None:
        now = 0
        for failures, delay in enumerate(FAILURE_DELAYS_SECONDS[:-1], start=1):
            assert holds(store, attempt(now))
            (row,) = store.failure_rows("alice")
            assert (row.failures, row.not_before_seconds) == (failures, now + delay)
            if delay:
                assert not holds(store, attempt(now + delay - 1))
                early = ClearFailures(subject_id="alice", factor="otp", now_seconds=now + delay - 1)
                assert not holds(store, early)
            now += delay

        assert holds(store, ClearFailures(subject_id="alice", factor="otp", now_seconds=now))
        assert list(store.failure_rows("alice")) == []
        assert holds(store, attempt(now))

    def test_of_many_failures_at_once_no_more_count_than_may(self, store: Store) -> None:
        for _ in range(2):
            assert holds(store, attempt(100))

        assert at_once(30, lambda _: holds(store, attempt(101))).count(True) == 1

    def test_binding_anew_unlocks_a_factor(self, store: Store) -> None:
        for number in range(10):
            assert holds(store, attempt(number * 1000))
        assert not holds(store, attempt(10**9))

        forget = ForgetFailures(subject_id="alice", factor="otp")
        assert holds(store, AddCredential(credential=credential(1)), forget)

        assert holds(store, attempt(10**9))
        assert holds(store, forget)

    def test_credentials_added_at_once_or_together_keep_to_the_bound(self, store: Store) -> None:
        added = at_once(8, lambda number: holds(store, AddCredential(credential=credential(number))))
        assert added.count(True) == 5

        together = [AddCredential(credential=credential(number, subject="bob")) for number in range(10, 16)]
        assert failed(store, *together) == together[-1]
        assert holds(store, *together[:5])

    def test_a_whole_batch_is_one_commit(self, store: Store) -> None:
        subjects = [f"subject-{number}" for number in range(store.batch_limit)]
        adds: list[Write] = []
        for number, subject in enumerate(subjects):
            forget = ForgetFailures(subject_id=subject, factor="otp")
            adds += [AddCredential(credential=credential(number, subject=subject)), forget]
        keeps = [KeepTicket(ticket=ticket(number, subject=subject)) for number, subject in enumerate(subjects)]

        for writes in (adds, keeps):
            store.commit(writes, [line] * len(subjects))

        assert len(store.credentials()) == len(store.tickets()) == len(subjects)

    def test_a_ticket_is_redeemed_once_before_its_end(self, store: Store) -> None:
        kept = ticket(1)
        assert holds(store, KeepTicket(ticket=kept))
        assert not holds(store, KeepTicket(ticket=kept))
        assert store.ticket("hash-1") == kept
        assert not holds(store, RedeemTicket(ticket_hash="hash-1", now_seconds=1000))
        assert not holds(store, RedeemTicket(ticket_hash="nothing", now_seconds=5))

        assert at_once(10, lambda _: holds(store, RedeemTicket(ticket_hash="hash-1", now_seconds=999))).count(True) == 1

        found = store.ticket("hash-1")
        assert found is not None
        assert found.redeemed_at_seconds == 999
        assert not holds(store, RevokeTicket(ticket_id="id-1", now_seconds=5))

    def test_a_ticket_is_revoked_once_and_not_redeemed_then(self, store: Store) -> None:
        assert holds(store, KeepTicket(ticket=ticket(1)))
        assert holds(store, RevokeTicket(ticket_id="id-1", now_seconds=7))
        assert not holds(store, RevokeTicket(ticket_id="id-1", now_seconds=8))
        assert not holds(store, RevokeTicket(ticket_id="nothing", now_seconds=8))
        assert not holds(store, RedeemTicket(ticket_hash="hash-1", now_seconds=8))
        assert [found.revoked_at_seconds for found in store.tickets("alice")] == [7]

    def test_open_tickets_are_bounded_and_those_over_do_not_count(self, store: Store) -> None:
        for number in range(5):
            assert holds(store, KeepTicket(ticket=ticket(number)))
        assert not holds(store, KeepTicket(ticket=ticket(5)))
        assert holds(store, KeepTicket(ticket=ticket(6, subject="bob")))
        assert holds(store, KeepTicket(ticket=ticket(7, created=1000, expires=2000)))
        assert holds(store, RevokeTicket(ticket_id="id-7", now_seconds=1000))
        assert [found.ticket_id for found in store.tickets()] == [
            "id-0",
            "id-1",
            "id-2",
            "id-3",
            "id-4",
            "id-6",
            "id-7",
        ]

    @pytest.mark.parametrize(("now", "forgotten"), [(1000, False), (1120, False), (1121, True)])
    def test_a_ticket_is_kept_twice_the_skew_beyond_its_end(
        self, store: Store, forget: Forget, now: int, forgotten: bool
    ) -> None:
        assert holds(store, KeepTicket(ticket=ticket(1)))
        forget(now)

        assert (store.ticket("hash-1") is None) is forgotten
        assert (list(store.tickets()) == []) is forgotten
