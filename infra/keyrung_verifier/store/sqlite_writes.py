"""Each conditional write as SQL, run inside the commit's transaction; one function per kind, one table of them."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from keyrung_verifier.limits import (
    FAILURE_DELAYS_SECONDS,
    MAX_CREDENTIALS_PER_FACTOR,
    MAX_FAILURES,
    MAX_WRONG_ANSWERS,
)
from keyrung_verifier.store import kept_answers
from keyrung_verifier.store.protocol import (
    AcceptPolicy,
    AddCredential,
    AdvanceCounter,
    ClearFailures,
    ConditionFailedError,
    ConsumeChallenge,
    ConsumeOnce,
    CountFailure,
    CountWrongAnswer,
    ForgetFailures,
    KeepAnswer,
    KeepAssertion,
    KeepTicket,
    PutChallenge,
    RedeemTicket,
    RequireEarned,
    RevokeCredential,
    RevokeTicket,
    SpendCounted,
    UseCredential,
    Write,
)


def apply(connection: sqlite3.Connection, write: Write) -> None:
    """Do one write.

    Raises:
        ConditionFailedError: Its condition does not hold.
    """
    if not _KINDS[type(write)](connection, write):
        raise ConditionFailedError(write)


def _changed(connection: sqlite3.Connection, statement: str, *values: str | bytes | int | None) -> bool:
    return connection.execute(statement, values).rowcount == 1


def _consume_once(connection: sqlite3.Connection, write: ConsumeOnce) -> bool:
    return _changed(
        connection,
        "INSERT INTO consumed (kind, key, keep_until) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        write.kind,
        write.key,
        write.keep_until_seconds,
    )


def _spend_counted(connection: sqlite3.Connection, write: SpendCounted) -> bool:
    return _changed(
        connection,
        "INSERT INTO uses (key, count, keep_until) VALUES (?1, 1, ?2)"
        " ON CONFLICT (key) DO UPDATE SET count = count + 1 WHERE count < ?3",
        write.key,
        write.keep_until_seconds,
        write.limit,
    )


def _advance_counter(connection: sqlite3.Connection, write: AdvanceCounter) -> bool:
    return _changed(
        connection,
        "INSERT INTO counters (name, value) VALUES (?1, ?2)"
        " ON CONFLICT (name) DO UPDATE SET value = ?2 WHERE value < ?2",
        write.name,
        write.value,
    )


def _failures(connection: sqlite3.Connection, write: CountFailure | ClearFailures) -> int | None:
    """Return the failures in a row, or None while no attempt is allowed."""
    found = connection.execute(
        "SELECT failures, not_before FROM failures WHERE subject_id = ? AND factor = ?",
        (write.subject_id, write.factor),
    ).fetchone()
    if found is None:
        return 0
    failures, not_before = found
    return None if failures >= MAX_FAILURES or write.now_seconds < not_before else int(failures)


def _count_failure(connection: sqlite3.Connection, write: CountFailure) -> bool:
    failures = _failures(connection, write)
    if failures is None:
        return False
    return _changed(
        connection,
        "INSERT INTO failures (subject_id, factor, failures, not_before) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (subject_id, factor) DO UPDATE SET failures = ?3, not_before = ?4",
        write.subject_id,
        write.factor,
        failures + 1,
        write.now_seconds + FAILURE_DELAYS_SECONDS[failures],
    )


def _clear_failures(connection: sqlite3.Connection, write: ClearFailures) -> bool:
    if _failures(connection, write) is None:
        return False
    return _forget_failures(connection, ForgetFailures(subject_id=write.subject_id, factor=write.factor))


def _forget_failures(connection: sqlite3.Connection, write: ForgetFailures) -> bool:
    connection.execute(
        "DELETE FROM failures WHERE subject_id = ? AND factor = ?",
        (write.subject_id, write.factor),
    )
    return True


def _put_challenge(connection: sqlite3.Connection, write: PutChallenge) -> bool:
    return _changed(
        connection,
        "INSERT INTO challenges (challenge_hash, content, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        write.challenge_hash,
        write.content,
        write.expires_at_seconds,
    )


def _consume_challenge(connection: sqlite3.Connection, write: ConsumeChallenge) -> bool:
    return _changed(
        connection,
        "UPDATE challenges SET consumed = 1 WHERE challenge_hash = ? AND consumed = 0 AND wrong_answers < ?",
        write.challenge_hash,
        MAX_WRONG_ANSWERS,
    )


def _keep_answer(connection: sqlite3.Connection, write: KeepAnswer) -> bool:
    return _changed(
        connection,
        "INSERT INTO answers (challenge_hash, name, content_json, expires_at)"
        " SELECT challenge_hash, ?, ?, ? FROM challenges"
        " WHERE challenge_hash = ? AND consumed = 0 AND wrong_answers < ? ON CONFLICT DO NOTHING",
        write.answer.name,
        kept_answers.to_text(write.answer),
        write.expires_at_seconds,
        write.challenge_hash,
        MAX_WRONG_ANSWERS,
    )


def _count_wrong_answer(connection: sqlite3.Connection, write: CountWrongAnswer) -> bool:
    return _changed(
        connection,
        "UPDATE challenges SET wrong_answers = wrong_answers + 1"
        " WHERE challenge_hash = ? AND consumed = 0 AND wrong_answers < ?",
        write.challenge_hash,
        MAX_WRONG_ANSWERS,
    )


def _add_credential(connection: sqlite3.Connection, write: AddCredential) -> bool:
    credential = write.credential
    (held,) = connection.execute(
        "SELECT count(*) FROM credentials WHERE subject_id = ? AND factor = ? AND revoked_at IS NULL",
        (credential.subject_id, credential.factor),
    ).fetchone()
    return held < MAX_CREDENTIALS_PER_FACTOR and _changed(
        connection,
        "INSERT INTO credentials"
        " (credential_id, subject_id, factor, sealed_seed, public_jwk, evidence_json, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        credential.credential_id,
        credential.subject_id,
        credential.factor,
        credential.sealed_seed,
        None if credential.public_jwk is None else json.dumps(dict(credential.public_jwk), sort_keys=True),
        json.dumps(dict(credential.evidence), sort_keys=True),
        credential.created_at_seconds,
    )


def _revoke_credential(connection: sqlite3.Connection, write: RevokeCredential) -> bool:
    return _changed(
        connection,
        "UPDATE credentials SET revoked_at = ? WHERE credential_id = ? AND revoked_at IS NULL",
        write.now_seconds,
        write.credential_id,
    )


def _use_credential(connection: sqlite3.Connection, write: UseCredential) -> bool:
    return _changed(
        connection,
        "UPDATE credentials SET last_used_at = ? WHERE credential_id = ? AND revoked_at IS NULL",
        write.now_seconds,
        write.credential_id,
    )


def _keep_assertion(connection: sqlite3.Connection, write: KeepAssertion) -> bool:
    return all(
        _changed(
            connection,
            "INSERT INTO earned (jti_hash, credential_id, keep_until)"
            " SELECT ?, credential_id, ? FROM credentials WHERE credential_id = ? AND revoked_at IS NULL"
            " ON CONFLICT DO NOTHING",
            write.jti_hash,
            write.keep_until_seconds,
            credential_id,
        )
        for credential_id in write.credential_ids
    )


def _require_earned(connection: sqlite3.Connection, write: RequireEarned) -> bool:
    earned, standing = connection.execute(
        "SELECT count(*), count(credentials.credential_id) FROM earned"
        " LEFT JOIN credentials ON credentials.credential_id = earned.credential_id AND revoked_at IS NULL"
        " WHERE jti_hash = ?",
        (write.jti_hash,),
    ).fetchone()
    return bool(earned) and earned == standing


def _keep_ticket(connection: sqlite3.Connection, write: KeepTicket) -> bool:
    ticket = write.ticket
    (open_ones,) = connection.execute(
        "SELECT count(*) FROM tickets WHERE subject_id = ? AND factor = ?"
        " AND redeemed_at IS NULL AND revoked_at IS NULL AND expires_at > ?",
        (ticket.subject_id, ticket.factor, ticket.created_at_seconds),
    ).fetchone()
    return open_ones < MAX_CREDENTIALS_PER_FACTOR and _changed(
        connection,
        "INSERT INTO tickets (ticket_hash, ticket_id, subject_id, factor, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        ticket.ticket_hash,
        ticket.ticket_id,
        ticket.subject_id,
        ticket.factor,
        ticket.created_at_seconds,
        ticket.expires_at_seconds,
    )


def _redeem_ticket(connection: sqlite3.Connection, write: RedeemTicket) -> bool:
    return _changed(
        connection,
        "UPDATE tickets SET redeemed_at = ?1 WHERE ticket_hash = ?2"
        " AND redeemed_at IS NULL AND revoked_at IS NULL AND expires_at > ?1",
        write.now_seconds,
        write.ticket_hash,
    )


def _revoke_ticket(connection: sqlite3.Connection, write: RevokeTicket) -> bool:
    return _changed(
        connection,
        "UPDATE tickets SET revoked_at = ? WHERE ticket_id = ? AND redeemed_at IS NULL AND revoked_at IS NULL",
        write.now_seconds,
        write.ticket_id,
    )


def _accept_policy(connection: sqlite3.Connection, write: AcceptPolicy) -> bool:
    return _changed(
        connection,
        "INSERT INTO policy_accepted (id, version, digest) VALUES (1, ?1, ?2)"
        " ON CONFLICT (id) DO UPDATE SET version = ?1, digest = ?2"
        " WHERE version < ?1 OR (version = ?1 AND digest = ?2)",
        write.version,
        write.digest,
    )


_KINDS: dict[type[Write], Callable[[sqlite3.Connection, Any], bool]] = {
    ConsumeOnce: _consume_once,
    SpendCounted: _spend_counted,
    AdvanceCounter: _advance_counter,
    CountFailure: _count_failure,
    ClearFailures: _clear_failures,
    ForgetFailures: _forget_failures,
    PutChallenge: _put_challenge,
    ConsumeChallenge: _consume_challenge,
    KeepAnswer: _keep_answer,
    CountWrongAnswer: _count_wrong_answer,
    AddCredential: _add_credential,
    RevokeCredential: _revoke_credential,
    UseCredential: _use_credential,
    KeepAssertion: _keep_assertion,
    RequireEarned: _require_earned,
    KeepTicket: _keep_ticket,
    RedeemTicket: _redeem_ticket,
    RevokeTicket: _revoke_ticket,
    AcceptPolicy: _accept_policy,
}
