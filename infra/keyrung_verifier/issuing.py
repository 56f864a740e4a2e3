"""The last step of a step-up: the assertion is signed, recorded together with what earned it, and handed out."""

from collections.abc import Sequence

from msgspec import UNSET

from keyrung_policies.jws import encode_base64url
from keyrung_verifier import assertion, models
from keyrung_verifier.audit_writer import hash_id, key_facts
from keyrung_verifier.calls import Call
from keyrung_verifier.challenge import Challenge
from keyrung_verifier.core import Core
from keyrung_verifier.errors import ChallengeRefusedError, SigningFailedError, UnavailableError
from keyrung_verifier.limits import MAX_ASSERTION_TTL_SECONDS, TOKEN_ID_BYTES, USED_MARK_SECONDS
from keyrung_verifier.store.protocol import ConditionFailedError, KeepAssertion, KeptAnswer


def issue(
    core: Core, call: Call, challenge: Challenge, answers: Sequence[KeptAnswer], *, acr: str
) -> models.AssertionIssued:
    """Return the assertion that the answers to a used-up challenge have earned.

    Raises:
        UnavailableError: The key gave no good signature.
        ChallengeRefusedError: A credential was revoked meanwhile.
    """
    now_seconds = core.now_seconds()
    claims = assertion.Claims(
        iss=core.settings.issuer,
        aud=challenge.audience,
        sub=challenge.subject_id,
        sid=challenge.session_id,
        iat=now_seconds,
        nbf=now_seconds,
        exp=now_seconds + _ttl_seconds(core, challenge),
        jti=encode_base64url(core.random.token_bytes(TOKEN_ID_BYTES)),
        auth_time=min(each.at_seconds for each in answers),
        acr=acr,
        amr=tuple(dict.fromkeys(method for each in answers for method in each.amr)),
        request_digest=challenge.request_digest,
        bind=challenge.bind,
        policy_digest=challenge.policy_digest,
        action=challenge.action,
        single_use=challenge.single_use,
        batch=UNSET if challenge.batch is None else challenge.batch,
        cnf=UNSET if challenge.dpop_jkt is None else assertion.Confirmation(jkt=challenge.dpop_jkt),
    )
    # From here on the record is about the assertion: a key that fails is recorded as one that was not issued.
    call.learn(event="assertion.issued", jti=claims.jti)
    try:
        signer = core.signers.current()  # once, so that the record names the generation that signs
        call.learn(key=key_facts(signer))
        token = assertion.sign(claims, signer)
    except SigningFailedError as error:
        raise UnavailableError("signer") from error
    earned = KeepAssertion(
        jti_hash=hash_id(claims.jti),
        credential_ids=tuple(dict.fromkeys(each.credential_id for each in answers)),
        keep_until_seconds=claims.exp + USED_MARK_SECONDS,
    )
    try:
        core.audit.commit([call.record("success")], [earned])
    except ConditionFailedError as error:
        raise ChallengeRefusedError("credential_revoked") from error
    return models.AssertionIssued(assertion=token, expires_in=claims.exp - claims.iat, acr=acr)


def _ttl_seconds(core: Core, challenge: Challenge) -> int:
    """Return the life of an assertion: one that pays more than once lives as long as its rule lets it pay."""
    if challenge.single_use:
        return core.settings.assertion_ttl_seconds
    limits = [MAX_ASSERTION_TTL_SECONDS, challenge.max_age_seconds]
    return min(limits if challenge.batch is None else [*limits, challenge.batch.within_seconds])
