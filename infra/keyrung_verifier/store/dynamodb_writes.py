"""Each conditional write as parts of a DynamoDB transaction; one function per kind, one table of them."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from keyrung_verifier.limits import (
    CLOCK_SKEW_SECONDS,
    FAILURE_DELAYS_SECONDS,
    MAX_FAILURES,
    MAX_WRONG_ANSWERS,
)
from keyrung_verifier.store import kept_answers
from keyrung_verifier.store.dynamodb_items import Key, Plain, answer_attribute, credential_item, ticket_item
from keyrung_verifier.store.dynamodb_plan import (
    NEW,
    THERE,
    Part,
    Plan,
    challenge_key,
    credential_locator,
    subject_key,
    ticket_locator,
)
from keyrung_verifier.store.protocol import (
    AcceptPolicy,
    AddCredential,
    AdvanceCounter,
    ClearFailures,
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

_STANDS = "attribute_exists(pk) AND attribute_not_exists(revoked_at)"
_OPEN = "attribute_exists(pk) AND attribute_not_exists(redeemed_at) AND attribute_not_exists(revoked_at)"
# Marks of this time on are kept for good: DynamoDB would remove nothing that late anyway.
_FOR_GOOD_SECONDS = 253402300799
POLICY_KEY = ("policy", "accepted")


def add(plan: Plan, write: Write) -> None:
    """Add one write to the plan; raises `ValueError` as `Plan.add` does."""
    for part in _KINDS[type(write)](plan, write):
        plan.add(part, write)


def _consume_once(_plan: Plan, write: ConsumeOnce) -> list[Part]:
    expires_at = None if write.keep_until_seconds >= _FOR_GOOD_SECONDS else write.keep_until_seconds
    key = (f"mark#{write.kind}#{write.key}", "mark")
    return [Part(action="Put", key=key, condition=NEW, item={"expires_at": expires_at})]


def _spend_counted(_plan: Plan, write: SpendCounted) -> list[Part]:
    return [
        Part(
            action="Update",
            key=(f"uses#{write.key}", "uses"),
            condition="attribute_not_exists(use_count) OR use_count < :limit",
            change="SET expires_at = if_not_exists(expires_at, :keep) ADD use_count :one",
            values={":limit": write.limit, ":keep": write.keep_until_seconds, ":one": 1},
        )
    ]


def _advance_counter(_plan: Plan, write: AdvanceCounter) -> list[Part]:
    return [
        Part(
            action="Update",
            key=(f"counter#{write.name}", "counter"),
            condition="attribute_not_exists(counter_value) OR counter_value < :value",
            change="SET counter_value = :value",
            values={":value": write.value},
        )
    ]


def _attempt_allowed(now_seconds: int) -> tuple[str, dict[str, Plain]]:
    """Return the condition that the factor is neither locked nor waiting: the limit and its check are one step."""
    clauses = ["attribute_not_exists(failure_count)"]
    values: dict[str, Plain] = {}
    for failures in range(1, MAX_FAILURES):
        clauses.append(f"failure_count = :n{failures} AND failed_at <= :t{failures}")
        values |= {f":n{failures}": failures, f":t{failures}": now_seconds - FAILURE_DELAYS_SECONDS[failures - 1]}
    return " OR ".join(f"({clause})" for clause in clauses), values


def _failures_key(write: CountFailure | ClearFailures | ForgetFailures) -> Key:
    return subject_key(write.subject_id), f"failures#{write.factor}"


def _count_failure(_plan: Plan, write: CountFailure) -> list[Part]:
    condition, values = _attempt_allowed(write.now_seconds)
    change = "SET failed_at = :now, subject_id = :subject, factor_name = :factor ADD failure_count :one"
    values |= {":now": write.now_seconds, ":subject": write.subject_id, ":factor": write.factor, ":one": 1}
    return [Part(action="Update", key=_failures_key(write), condition=condition, change=change, values=values)]


def _clear_failures(_plan: Plan, write: ClearFailures) -> list[Part]:
    condition, values = _attempt_allowed(write.now_seconds)
    change = "REMOVE failure_count, failed_at"
    return [Part(action="Update", key=_failures_key(write), condition=condition, change=change, values=values)]


def _forget_failures(_plan: Plan, write: ForgetFailures) -> list[Part]:
    return [Part(action="Update", key=_failures_key(write), change="REMOVE failure_count, failed_at")]


def _put_challenge(_plan: Plan, write: PutChallenge) -> list[Part]:
    item: dict[str, Plain | None] = {
        "challenge_content": write.content,
        "is_consumed": False,
        "wrong_answers": 0,
        "expires_at": write.expires_at_seconds + 2 * CLOCK_SKEW_SECONDS,
    }
    return [Part(action="Put", key=challenge_key(write.challenge_hash), condition=NEW, item=item)]


def _on_challenge(
    write: ConsumeChallenge | CountWrongAnswer | KeepAnswer,
    change: str,
    values: Mapping[str, Plain],
    *,
    besides: str = "",
) -> list[Part]:
    return [
        Part(
            action="Update",
            key=challenge_key(write.challenge_hash),
            condition=f"is_consumed = :no AND wrong_answers < :most{besides}",
            change=change,
            values={":no": False, ":most": MAX_WRONG_ANSWERS, **values},
        )
    ]


def _consume_challenge(_plan: Plan, write: ConsumeChallenge) -> list[Part]:
    return _on_challenge(write, "SET is_consumed = :yes", {":yes": True})


def _keep_answer(_plan: Plan, write: KeepAnswer) -> list[Part]:
    attribute = answer_attribute(write.answer.name)
    return _on_challenge(
        write,
        f"SET {attribute} = :answer",
        {":answer": kept_answers.to_text(write.answer)},
        besides=f" AND attribute_not_exists({attribute})",
    )


def _count_wrong_answer(_plan: Plan, write: CountWrongAnswer) -> list[Part]:
    return _on_challenge(write, "ADD wrong_answers :one", {":one": 1})


def _add_credential(plan: Plan, write: AddCredential) -> list[Part]:
    added = write.credential
    key = (subject_key(added.subject_id), f"credential#{added.credential_id}")
    return [
        plan.guard(added.subject_id, "credential", added.factor, room=lambda item: "revoked_at" not in item),
        Part(action="Put", key=key, condition=NEW, item=credential_item(added)),
        Part(
            action="Put",
            key=credential_locator(added.credential_id),
            condition=NEW,
            item={"subject_id": added.subject_id},
        ),
    ]


def _on_credential(plan: Plan, credential_id: str, action: str, change: str | None, **values: Plain) -> Part:
    """Return a part that fails unless the credential is known and not revoked."""
    locator = credential_locator(credential_id)
    found = plan.lookup.located(locator)
    if found is None:
        return Part(action="ConditionCheck", key=locator, condition=THERE)
    return Part(
        action=action,
        key=(subject_key(found["subject_id"]), f"credential#{credential_id}"),
        condition=_STANDS,
        change=change,
        values={f":{name}": value for name, value in values.items()},
    )


def _revoke_credential(plan: Plan, write: RevokeCredential) -> list[Part]:
    return [_on_credential(plan, write.credential_id, "Update", "SET revoked_at = :now", now=write.now_seconds)]


def _use_credential(plan: Plan, write: UseCredential) -> list[Part]:
    return [_on_credential(plan, write.credential_id, "Update", "SET last_used_at = :now", now=write.now_seconds)]


def _assertion_key(jti_hash: str) -> Key:
    return f"assertion#{jti_hash}", "assertion"


def _keep_assertion(plan: Plan, write: KeepAssertion) -> list[Part]:
    item: dict[str, Plain | None] = {
        "credential_ids": json.dumps(write.credential_ids),
        "expires_at": write.keep_until_seconds,
    }
    return [
        *(_on_credential(plan, credential_id, "ConditionCheck", None) for credential_id in write.credential_ids),
        Part(action="Put", key=_assertion_key(write.jti_hash), condition=NEW, item=item),
    ]


def _require_earned(plan: Plan, write: RequireEarned) -> list[Part]:
    key = _assertion_key(write.jti_hash)
    found = plan.lookup.item(key)
    if found is None:
        return [Part(action="ConditionCheck", key=key, condition=THERE)]
    earned_with = json.loads(found["credential_ids"])
    return [_on_credential(plan, credential_id, "ConditionCheck", None) for credential_id in earned_with]


def _keep_ticket(plan: Plan, write: KeepTicket) -> list[Part]:
    kept = write.ticket
    expires_at = kept.expires_at_seconds + 2 * CLOCK_SKEW_SECONDS
    locator: dict[str, Plain | None] = {
        "subject_id": kept.subject_id,
        "ticket_hash": kept.ticket_hash,
        "expires_at": expires_at,
    }

    def is_open(item: Mapping[str, Any]) -> bool:
        unused = "redeemed_at" not in item and "revoked_at" not in item
        return unused and bool(item["valid_until"] > kept.created_at_seconds)

    return [
        plan.guard(kept.subject_id, "ticket", kept.factor, room=is_open),
        Part(
            action="Put",
            key=(subject_key(kept.subject_id), f"ticket#{kept.ticket_hash}"),
            condition=NEW,
            item={**ticket_item(kept), "expires_at": expires_at},
        ),
        Part(action="Put", key=ticket_locator(kept.ticket_hash), condition=NEW, item=locator),
        Part(action="Put", key=(f"ticket-id#{kept.ticket_id}", "locator"), condition=NEW, item=locator),
    ]


def _on_ticket(plan: Plan, locator: Key, condition: str, change: str, now_seconds: int) -> list[Part]:
    found = plan.lookup.located(locator)
    if found is None:
        return [Part(action="ConditionCheck", key=locator, condition=THERE)]
    key = (subject_key(found["subject_id"]), f"ticket#{found['ticket_hash']}")
    return [Part(action="Update", key=key, condition=condition, change=change, values={":now": now_seconds})]


def _redeem_ticket(plan: Plan, write: RedeemTicket) -> list[Part]:
    # DynamoDB may remove it hours after its end, so that is a condition of its own.
    living = f"{_OPEN} AND valid_until > :now"
    return _on_ticket(plan, ticket_locator(write.ticket_hash), living, "SET redeemed_at = :now", write.now_seconds)


def _revoke_ticket(plan: Plan, write: RevokeTicket) -> list[Part]:
    locator = (f"ticket-id#{write.ticket_id}", "locator")
    return _on_ticket(plan, locator, _OPEN, "SET revoked_at = :now", write.now_seconds)


def _accept_policy(_plan: Plan, write: AcceptPolicy) -> list[Part]:
    return [
        Part(
            action="Update",
            key=POLICY_KEY,
            condition="attribute_not_exists(policy_version) OR policy_version < :version"
            " OR (policy_version = :version AND policy_digest = :digest)",
            change="SET policy_version = :version, policy_digest = :digest",
            values={":version": write.version, ":digest": write.digest},
        )
    ]


_KINDS: dict[type[Write], Callable[[Plan, Any], list[Part]]] = {
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
