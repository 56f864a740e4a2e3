"""The application's side before a step-up: is this request allowed, and if not, what would make it so."""

from typing import TypeVar

import msgspec

from keyrung_policies.bundle import Bundle
from keyrung_policies.jws import encode_base64url
from keyrung_policies.model import Decision, Requirement, Value
from keyrung_policies.policy_set import PolicySet
from keyrung_policies.values import value_fits
from keyrung_verifier import models
from keyrung_verifier.audit_writer import AuditWriter, hash_id
from keyrung_verifier.callers import Caller
from keyrung_verifier.calls import Call
from keyrung_verifier.challenge import Challenge, to_stored
from keyrung_verifier.core import Core, digest_of, read_body
from keyrung_verifier.decision import SESSION_MEMBER, attributes_of, decide, reachable_acrs
from keyrung_verifier.errors import (
    AccessDeniedError,
    MalformedRequestError,
    StepUpNotRequiredError,
    StrictFormError,
    UnmetRequirementError,
)
from keyrung_verifier.limits import CHALLENGE_ID_BYTES
from keyrung_verifier.paths import CHALLENGES
from keyrung_verifier.store.protocol import PutChallenge
from keyrung_verifier.strict import convert

Asked = TypeVar("Asked", models.EvaluationRequest, models.ChallengeRequest)


def evaluate(core: Core, call: Call, body: bytes) -> models.EvaluationResponse:
    """Answer an AuthZEN evaluation request."""
    asked = read_body(body, models.EvaluationRequest)
    _learn_session(call, asked)
    bundle, decision = _decide(core, call, asked)
    core.audit.commit([call.record(decision.outcome, _first_reason(decision))])
    requirement = decision.requirement
    return models.EvaluationResponse(
        decision=decision.outcome == "allow",
        context=models.EvaluationContext(
            outcome=decision.outcome,
            rule_ids=list(decision.rule_ids),
            policy_digest=bundle.digest,
            correlation_id=call.correlation_id,
            acr_values=msgspec.UNSET if requirement is None else list(requirement.acr_values),
            max_age=msgspec.UNSET if requirement is None else requirement.max_age_seconds,
        ),
    )


def create_challenge(core: Core, call: Call, caller: Caller, body: bytes) -> models.ChallengeCreated:
    """Make a challenge for a request that the policy, asked again, answers with a step-up."""
    asked = read_body(body, models.ChallengeRequest)
    session = _learn_session(call, asked)
    request_digest = digest_of(asked.request)
    if session is None:
        raise MalformedRequestError("no_session")
    call.learn(request_digest=request_digest)
    bundle, decision = _decide(core, call, asked)
    requirement = _required(decision)
    now_seconds = core.now_seconds()
    challenge_id = encode_base64url(core.random.token_bytes(CHALLENGE_ID_BYTES))
    challenge = Challenge(
        challenge_hash=hash_id(challenge_id),
        client_id=caller.client_id,
        audience=caller.audience,
        subject_id=asked.subject.id,
        session_id=session.id,
        action=asked.action.name,
        request_digest=request_digest,
        policy_digest=bundle.digest,
        policy_version=bundle.version,
        rule_ids=decision.rule_ids,
        display=requirement.display,
        acrs=_held_acrs(core, asked.subject.id, reachable_acrs(bundle.policy, requirement)),
        created_at_seconds=now_seconds,
        expires_at_seconds=now_seconds + core.settings.challenge_ttl_seconds,
    )
    _keep(core, call, challenge)
    return models.ChallengeCreated(
        challenge_id=challenge_id,
        stepup_uri=f"{core.settings.public_url}{CHALLENGES}/{challenge_id}",
        expires_at=challenge.expires_at_seconds,
        acr_values=list(requirement.acr_values),
    )


def _decide(core: Core, call: Call, asked: Asked) -> tuple[Bundle, Decision]:
    call.learn(subject_id=asked.subject.id, action=asked.action.name)
    bundle = core.policy_source.current()
    call.learn(policy_digest=bundle.digest, policy_version=bundle.version)
    attributes = attributes_of(bundle.policy, asked)
    decision = decide(bundle.policy, asked, core.clock.now())
    call.learn(rule_ids=decision.rule_ids, attributes=_visible(core.audit, bundle.policy, attributes))
    return bundle, decision


def _learn_session(call: Call, asked: Asked) -> models.Session | None:
    found = asked.context.get(SESSION_MEMBER)
    if found is None:
        return None
    try:
        session = convert(found, models.Session)
    except StrictFormError as error:
        raise MalformedRequestError(error.reason) from error
    call.learn(session_id=session.id)
    return session


def _required(decision: Decision) -> Requirement:
    if decision.outcome == "allow":
        raise StepUpNotRequiredError("policy_allow")
    if decision.requirement is None:
        raise AccessDeniedError(_first_reason(decision) or "policy_deny")
    return decision.requirement


def _held_acrs(core: Core, subject_id: str, acrs: dict[str, str]) -> dict[str, str]:
    held = {credential.factor for credential in core.living_credentials(subject_id)}
    reachable = {factor: acr for factor, acr in acrs.items() if factor in held}
    if not reachable:
        # Said openly to the application, so that nobody loops (RFC 9470 section 5); never a weaker level instead.
        raise UnmetRequirementError("no_credential")
    return reachable


def _keep(core: Core, call: Call, challenge: Challenge) -> None:
    call.learn(challenge=challenge.challenge_hash)
    put = PutChallenge(
        challenge_hash=challenge.challenge_hash,
        content=to_stored(challenge),
        expires_at_seconds=challenge.expires_at_seconds,
    )
    core.audit.commit([call.record("success")], [put])


def _visible(audit: AuditWriter, policy: PolicySet, attributes: dict[str, Value]) -> dict[str, Value]:
    """Return the attributes that may be seen in the log; what does not fit its declaration is left out."""
    declared = policy.document.attributes
    seen = {
        name: audit.visible(value, declared[name].audit)
        for name, value in attributes.items()
        if value_fits(declared[name], value)
    }
    return {name: value for name, value in seen.items() if value is not None}


def _first_reason(decision: Decision) -> str | None:
    """Return the code of the first reason; the sentence behind it is for authors."""
    return decision.reasons[0].partition(":")[0] if decision.reasons else None
