"""Is this request allowed, and if not, what would make it so: the Access Evaluation APIs of AuthZEN 1.0.

A step-up is a decision of `false` whose context says what is missing and where it begins. Each evaluation leaves its
own record; several in one request are committed together.
"""

from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from keyrung_policies.bundle import Bundle
from keyrung_policies.model import Decision, Requirement
from keyrung_verifier import models
from keyrung_verifier.audit_writer import Entry
from keyrung_verifier.calls import Call
from keyrung_verifier.core import Core, read_body
from keyrung_verifier.errors import MalformedRequestError
from keyrung_verifier.judging import first_reason, judge, session_of
from keyrung_verifier.paths import CHALLENGES

Entity = TypeVar("Entity")


def evaluate(core: Core, call: Call, body: bytes) -> models.EvaluationResponse:
    """Answer an Access Evaluation request (section 6)."""
    return _evaluate_one(core, call, read_body(body, models.EvaluationRequest))


def evaluate_many(core: Core, call: Call, body: bytes) -> models.EvaluationResponse | models.EvaluationsResponse:
    """Answer an Access Evaluations request (section 7); without a list it is a single evaluation of its defaults."""
    asked = read_body(body, models.EvaluationsRequest)
    if not asked.evaluations:
        return _evaluate_one(core, call, _with_defaults(models.EvaluationItem(), asked))
    answers: list[models.EvaluationResponse] = []
    records: list[Entry] = []
    for item in asked.evaluations:
        one = Call(facts=dict(call.facts), correlation_id=call.correlation_id)
        answer, record = _judged(core, one, item, asked)
        answers.append(answer)
        records.append(record)
        if answer.decision is _LAST.get(asked.options.evaluations_semantic):
            break
    core.audit.commit(records)
    return models.EvaluationsResponse(evaluations=answers)


# After which decision the rest is not looked at (section 7.1.2.1).
_LAST: dict[models.EvaluationsSemantic, bool] = {"deny_on_first_deny": False, "permit_on_first_permit": True}


def _evaluate_one(core: Core, call: Call, asked: models.EvaluationRequest) -> models.EvaluationResponse:
    session_of(call, asked)
    bundle, decision = judge(core, call, asked)
    core.audit.commit([call.record(decision.outcome, first_reason(decision))])
    return _response(core, call, bundle, decision)


def _judged(
    core: Core, call: Call, item: models.EvaluationItem, asked: models.EvaluationsRequest
) -> tuple[models.EvaluationResponse, Entry]:
    """Return an answer and its record; an item that is no evaluation is one that is denied (section 7.2.1)."""
    try:
        merged = _with_defaults(item, asked)
        session_of(call, merged)
    except MalformedRequestError as error:
        context = models.EvaluationContext(
            outcome="deny",
            rule_ids=[],
            policy_digest=core.policy_source.current().digest,
            correlation_id=call.correlation_id,
            error=models.EvaluationError(status=error.status, message=error.description),
        )
        return models.EvaluationResponse(decision=False, context=context), call.record("refused", error.reason)
    bundle, decision = judge(core, call, merged)
    return _response(core, call, bundle, decision), call.record(decision.outcome, first_reason(decision))


def _with_defaults(item: models.EvaluationItem, asked: models.EvaluationsRequest) -> models.EvaluationRequest:
    """Return the item with what it leaves out taken from the request (section 7.1.1); nothing is merged inside."""
    subject, action = _either(item.subject, asked.subject), _either(item.action, asked.action)
    resource, context = _either(item.resource, asked.resource), _either(item.context, asked.context)
    if isinstance(subject, UnsetType) or isinstance(action, UnsetType) or isinstance(resource, UnsetType):
        raise MalformedRequestError("entity_missing")
    return models.EvaluationRequest(
        subject=subject, action=action, resource=resource, context={} if isinstance(context, UnsetType) else context
    )


def _either(own: Entity | UnsetType, default: Entity | UnsetType) -> Entity | UnsetType:
    return default if isinstance(own, UnsetType) else own


def _response(core: Core, call: Call, bundle: Bundle, decision: Decision) -> models.EvaluationResponse:
    context = models.EvaluationContext(
        outcome=decision.outcome,
        rule_ids=list(decision.rule_ids),
        policy_digest=bundle.digest,
        correlation_id=call.correlation_id,
    )
    if decision.requirement is not None:
        context = _with_requirement(core, context, decision.requirement)
    return models.EvaluationResponse(decision=decision.outcome == "allow", context=context)


def _with_requirement(
    core: Core, context: models.EvaluationContext, requirement: Requirement
) -> models.EvaluationContext:
    return msgspec.structs.replace(
        context,
        acr_values=list(requirement.acr_values),
        max_age=requirement.max_age_seconds,
        bind=list(requirement.bind),
        single_use=requirement.single_use,
        batch=UNSET if requirement.batch is None else requirement.batch,
        challenge_endpoint=f"{core.settings.public_url}{CHALLENGES}",
    )
