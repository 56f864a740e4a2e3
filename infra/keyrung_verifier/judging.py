"""What the policy in force says of a request, and what of both the call's record may tell."""

from keyrung_policies.bundle import Bundle
from keyrung_policies.model import Decision, Requirement, Value
from keyrung_policies.policy_set import PolicySet
from keyrung_verifier import models
from keyrung_verifier.audit_writer import AuditWriter
from keyrung_verifier.calls import Call
from keyrung_verifier.core import Core
from keyrung_verifier.decision import SESSION_MEMBER, attributes_of, decide
from keyrung_verifier.errors import (
    AccessDeniedError,
    MalformedRequestError,
    StepUpNotRequiredError,
    StrictFormError,
)
from keyrung_verifier.strict import convert


def judge(core: Core, call: Call, asked: models.EvaluationRequest) -> tuple[Bundle, Decision]:
    """Return the policy in force and what it says."""
    call.learn(subject_id=asked.subject.id, action=asked.action.name)
    bundle = core.policy_source.current()
    call.learn(policy_digest=bundle.digest, policy_version=bundle.version)
    attributes = attributes_of(bundle.policy, asked)
    decision = decide(bundle.policy, asked, core.clock.now())
    call.learn(rule_ids=decision.rule_ids, attributes=_visible(core.audit, bundle.policy, attributes))
    return bundle, decision


def session_of(call: Call, asked: models.EvaluationRequest) -> models.Session | None:
    """Return the session that the request's context names.

    Raises:
        MalformedRequestError: It is no session.
    """
    found = asked.context.get(SESSION_MEMBER)
    if found is None:
        return None
    try:
        session = convert(found, models.Session)
    except StrictFormError as error:
        raise MalformedRequestError(error.reason) from error
    call.learn(session_id=session.id)
    return session


def required_session(call: Call, asked: models.ChallengeRequest) -> models.Session:
    """Return the session, without which there is nothing to bind a step-up to."""
    session = session_of(call, asked)
    if session is None:
        raise MalformedRequestError("no_session")
    return session


def required(decision: Decision) -> Requirement:
    """Return what a step-up must reach.

    Raises:
        StepUpNotRequiredError: The request is allowed as it is.
        AccessDeniedError: No step-up helps.
    """
    if decision.outcome == "allow":
        raise StepUpNotRequiredError("policy_allow")
    if decision.requirement is None:
        raise AccessDeniedError(first_reason(decision))
    return decision.requirement


def first_reason(decision: Decision) -> str:
    """Return the code of the first reason; the sentence behind it is for authors."""
    return decision.reasons[0].partition(":")[0]


def _visible(audit: AuditWriter, policy: PolicySet, attributes: dict[str, Value]) -> dict[str, Value]:
    """Return the attributes that may be seen in the log; what does not fit its declaration is left out."""
    declared = policy.document.attributes
    seen = {
        name: audit.visible(value, declared[name].audit)
        for name, value in attributes.items()
        if policy.checks[name](value)
    }
    return {name: value for name, value in seen.items() if value is not None}
