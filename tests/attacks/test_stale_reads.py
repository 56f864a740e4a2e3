"""A store whose reads lag behind: what was used up stays used up, by the write's condition."""

from pathlib import Path

import pytest
from support.verifier import World

from keyrung_verifier.store.protocol import Credential, StoredChallenge
from keyrung_verifier.store.sqlite import SqliteStore


class StaleStore(SqliteStore):
    """Answers every read with what it answered first; commits are the real ones."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._challenges: dict[str, StoredChallenge | None] = {}
        self._credentials: dict[str | None, list[Credential]] = {}

    def challenge(self, challenge_hash: str) -> StoredChallenge | None:
        return self._challenges.setdefault(challenge_hash, super().challenge(challenge_hash))

    def credentials(self, subject_id: str | None = None) -> list[Credential]:
        return self._credentials.setdefault(subject_id, list(super().credentials(subject_id)))


@pytest.fixture
def stale(tmp_path: Path) -> World:
    return World(tmp_path, store=StaleStore(tmp_path / "store.db"))


def test_a_challenge_that_reads_as_unused_is_used_once(stale: World) -> None:
    totp = stale.enrol_totp()
    challenge_id = stale.challenge_id()
    assert stale.respond_code(challenge_id, totp.code(stale.clock.now())).status == 200
    stale.clock.advance(30)

    assert stale.view(challenge_id).status == 200, "the read is stale"
    assert stale.respond_code(challenge_id, totp.code(stale.clock.now())).status == 403
    assert stale.last_reason("challenge.answered") == "used"
    stale.close()


def test_a_credential_that_reads_as_living_earns_nothing_once_it_is_revoked(stale: World) -> None:
    totp = stale.enrol_totp()
    challenge_id = stale.challenge_id()
    stale.credentials.revoke(totp.credential_id)

    assert stale.respond_code(challenge_id, totp.code(stale.clock.now())).status == 403
    assert stale.last_reason("challenge.answered") == "credential_revoked"
    stale.close()
