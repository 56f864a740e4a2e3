"""An assertion pays for a request: checked against the request at hand and what the policy asks for it, then counted.

The policy is asked again, because an assertion that is bound to less than the whole request may come with one that
needs more than the one it was earned for. How often it pays is the stricter of what it says and what the policy asks.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from keyrung_policies.model import Requirement
from keyrung_policies.satisfaction import Held, satisfaction
from keyrung_verifier import assertion, models, possession
from keyrung_verifier.audit_writer import hash_id
from keyrung_verifier.callers import Caller
from keyrung_verifier.calls import Call
from keyrung_verifier.core import Core, digest_of, read_body
from keyrung_verifier.errors import AssertionInvalidError, AssertionRefusedError, DpopRefusedError
from keyrung_verifier.judging import judge, required, required_session
from keyrung_verifier.limits import CLOCK_SKEW_SECONDS, USED_MARK_SECONDS
from keyrung_verifier.store.protocol import ConditionFailedError, ConsumeOnce, RequireEarned, SpendCounted, Write

# What it means that a condition of the commit does not hold.
_REASONS: Mapping[type[Write], str] = {
    SpendCounted: "used",
    ConsumeOnce: "dpop_used",
    RequireEarned: "credential_revoked",
}


def spend(core: Core, call: Call, caller: Caller, body: bytes) -> models.AssertionSpent:
    """Let an assertion pay for a request."""
    asked = read_body(body, models.SpendRequest)
    session = required_session(call, asked)
    call.learn(subject_id=asked.subject.id, action=asked.action.name)
    call.by_anybody = True  # what an application hands on may be made up
    claims = _verified(core, asked.assertion, caller)
    call.by_anybody = False
    request_digest = digest_of(asked.request, claims.bind)
    call.learn(jti=claims.jti, request_digest=request_digest)
    _check_binding(claims, asked, session, request_digest)
    call.marks = _possession_marks(core, asked, session)
    bundle, decision = judge(core, call, asked)
    if claims.policy_digest != bundle.digest:
        raise AssertionRefusedError("policy_changed")
    requirement = required(decision)
    _check_satisfies(claims, requirement, core.clock.now())
    _use(core, call, claims, _limit(claims, requirement))
    return models.AssertionSpent(spent=True, sub=claims.sub, acr=claims.acr, auth_time=claims.auth_time, jti=claims.jti)


def _verified(core: Core, text: str, caller: Caller) -> assertion.Claims:
    try:
        return assertion.verify(
            text,
            keys=core.signers.verifying(),
            issuer=core.settings.issuer,
            audience=caller.audience,
            now=core.clock.now(),
        )
    except AssertionInvalidError as error:
        raise AssertionRefusedError(error.reason) from error


def _check_binding(
    claims: assertion.Claims, asked: models.SpendRequest, session: models.Session, request_digest: str
) -> None:
    pairs = {
        "session": (claims.sid, session.id),
        "dpop_key": (claims.jkt(), session.dpop_jkt),
        "subject": (claims.sub, asked.subject.id),
        "action": (claims.action, asked.action.name),
        "request": (claims.request_digest, request_digest),
    }
    for reason, (stated, found) in pairs.items():
        if stated != found:
            raise AssertionRefusedError(reason)


def _possession_marks(core: Core, asked: models.SpendRequest, session: models.Session) -> tuple[Write, ...]:
    """Return what uses up the proof that has to come with the request of a session that has a key."""
    if session.dpop_jkt is None:
        return ()
    if asked.dpop is None:
        raise DpopRefusedError("dpop_missing")
    mark = possession.proven(
        core,
        asked.dpop.proof,
        method=asked.request.method,
        url=asked.request.uri,
        jkt=session.dpop_jkt,
        token_sha256=asked.dpop.token_sha256,
    )
    return (mark,)


def _check_satisfies(claims: assertion.Claims, requirement: Requirement, now: datetime) -> None:
    held = Held(
        acr=claims.acr,
        auth_time=datetime.fromtimestamp(claims.auth_time, UTC),
        same=claims.bind,
        used_count=0,  # counted by the store, in the commit that lets it pay
    )
    found = satisfaction(requirement, held, now, skew_seconds=CLOCK_SKEW_SECONDS)
    if found.missing:
        raise AssertionRefusedError(found.missing[0].partition(":")[0])


def _limit(claims: assertion.Claims, requirement: Requirement) -> int | None:
    """Return how many requests the assertion pays for here, or None for any number."""
    asked = 1 if requirement.single_use else None if requirement.batch is None else requirement.batch.count
    stated = claims.uses()
    if asked is None:
        return stated
    if stated is None:  # nobody counted what it paid for until now
        raise AssertionRefusedError("use")
    return min(asked, stated)


def _use(core: Core, call: Call, claims: assertion.Claims, limit: int | None) -> None:
    jti_hash = hash_id(claims.jti)
    # Revoking a credential ends what it earned as well (ASVS 5.0 6.5.6).
    writes: list[Write] = [*call.marks, RequireEarned(jti_hash=jti_hash)]
    if limit is not None:
        keep_until_seconds = claims.exp + USED_MARK_SECONDS
        writes.insert(0, SpendCounted(key=jti_hash, limit=limit, keep_until_seconds=keep_until_seconds))
    try:
        core.audit.commit([call.record("success")], writes)
    except ConditionFailedError as error:
        raise AssertionRefusedError(_REASONS[type(error.write)]) from error
