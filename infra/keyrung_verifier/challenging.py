"""A challenge is made for a request that the policy, asked again, answers with a step-up, and for nothing else."""

from keyrung_policies.jws import encode_base64url
from keyrung_verifier import models
from keyrung_verifier.audit_writer import hash_id
from keyrung_verifier.callers import Caller
from keyrung_verifier.calls import Call
from keyrung_verifier.challenge import Alternative, Challenge, to_stored
from keyrung_verifier.core import Core, digest_of, read_body
from keyrung_verifier.decision import alternatives
from keyrung_verifier.errors import UnmetRequirementError
from keyrung_verifier.factors import provable
from keyrung_verifier.judging import judge, required, required_session
from keyrung_verifier.limits import CHALLENGE_ID_BYTES
from keyrung_verifier.paths import CHALLENGES
from keyrung_verifier.store.protocol import PutChallenge


def create_challenge(core: Core, call: Call, caller: Caller, body: bytes) -> models.ChallengeCreated:
    """Make a challenge for a request that the policy, asked again, answers with a step-up."""
    asked = read_body(body, models.ChallengeRequest)
    session = required_session(call, asked)
    bundle, decision = judge(core, call, asked)
    requirement = required(decision)
    request_digest = digest_of(asked.request, requirement.bind)
    call.learn(request_digest=request_digest)
    held = core.living_credentials(asked.subject.id)
    now_seconds = core.now_seconds()
    challenge_id = encode_base64url(core.random.token_bytes(CHALLENGE_ID_BYTES))
    challenge = Challenge(
        challenge_hash=hash_id(challenge_id),
        client_id=caller.client_id,
        audience=caller.audience,
        subject_id=asked.subject.id,
        session_id=session.id,
        dpop_jkt=session.dpop_jkt,
        action=asked.action.name,
        request_digest=request_digest,
        bind=requirement.bind,
        policy_digest=bundle.digest,
        policy_version=bundle.version,
        rule_ids=decision.rule_ids,
        display=requirement.display,
        single_use=requirement.single_use,
        batch=requirement.batch,
        max_age_seconds=requirement.max_age_seconds,
        alternatives=_within_reach(provable(held), alternatives(bundle.policy, requirement)),
        credential_ids=tuple(each.credential_id for each in held),
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


def _within_reach(factors: frozenset[str], found: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
    met = tuple(each for each in found if factors.issuperset(each.factors))
    if not met:
        # Said openly to the application, so that nobody loops (RFC 9470 section 5); never a weaker level instead.
        raise UnmetRequirementError("no_credential")
    return met


def _keep(core: Core, call: Call, challenge: Challenge) -> None:
    call.learn(challenge=challenge.challenge_hash)
    put = PutChallenge(
        challenge_hash=challenge.challenge_hash,
        content=to_stored(challenge),
        expires_at_seconds=challenge.expires_at_seconds,
    )
    core.audit.commit([call.record("success")], [put])
