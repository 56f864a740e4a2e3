"""The subject's side of a step-up: see the challenge, answer it, receive the assertion.

The order is fixed: check the answer, use up the challenge together with its record, then sign, then record the
assertion, then hand it out. Whatever fails on the way leaves a used challenge and no assertion.
"""

from collections.abc import Mapping

from msgspec import UNSET

from keyrung_policies.jws import encode_base64url
from keyrung_verifier import assertion, models, possession
from keyrung_verifier.audit_writer import hash_id, key_facts
from keyrung_verifier.calls import Call
from keyrung_verifier.challenge import Challenge, from_stored
from keyrung_verifier.core import Core
from keyrung_verifier.errors import (
    ChallengeRefusedError,
    MalformedRequestError,
    SigningFailedError,
    StrictFormError,
    UnavailableError,
    WrongAnswerError,
)
from keyrung_verifier.factors import FACTOR_OF_ANSWER, FACTORS, Answer
from keyrung_verifier.factors.protocol import Attempt, Proof
from keyrung_verifier.limits import MAX_ASSERTION_TTL_SECONDS, MAX_WRONG_ANSWERS, TOKEN_ID_BYTES, USED_MARK_SECONDS
from keyrung_verifier.paths import CHALLENGES, RESPONSE_SUFFIX
from keyrung_verifier.store.protocol import (
    AdvanceCounter,
    ClearFailures,
    ConditionFailedError,
    ConsumeChallenge,
    ConsumeOnce,
    CountFailure,
    CountWrongAnswer,
    KeepAssertion,
    UseCredential,
    Write,
)
from keyrung_verifier.strict import convert, parse_object

# What it means that a condition of the answer itself does not hold; each counts as a wrong answer.
_REASONS: Mapping[type[Write], str] = {
    AdvanceCounter: "code_used",
    UseCredential: "credential_revoked",
    ConsumeOnce: "dpop_used",
}


def view(core: Core, call: Call, challenge_id: str) -> models.ChallengeView:
    """Show a living challenge to whoever holds its id."""
    challenge = _living_challenge(core, call, challenge_id)
    credentials = core.living_credentials(challenge.subject_id)
    offers: list[models.Offer] = []
    for name in challenge.acrs:
        held = [credential for credential in credentials if credential.factor == name]
        offers += FACTORS[name].offers(challenge_id, challenge, held, core.settings.origin)
    return models.ChallengeView(
        challenge_id=challenge_id,
        display=challenge.display,
        origin=core.settings.origin,
        expires_at=challenge.expires_at_seconds,
        factors=offers,
        dpop_required=challenge.dpop_jkt is not None,
    )


def respond(core: Core, call: Call, challenge_id: str, body: bytes, dpop: str | None) -> models.AssertionIssued:
    """Take an answer to a challenge, with its DPoP header; a right one gives an assertion, once."""
    # Read before the challenge is looked up: a malformed answer tells nothing about it.
    answer = _read_answer(body)
    factor = FACTOR_OF_ANSWER[type(answer)]
    call.learn(factor=factor.name, challenge=hash_id(challenge_id))
    challenge = _living_challenge(core, call, challenge_id)
    # Before the answer is looked at: whoever lacks the session's key can neither guess nor use up tries.
    call.marks = _possession_marks(core, challenge_id, challenge, dpop)
    acr = challenge.acrs.get(factor.name)
    if acr is None:
        raise ChallengeRefusedError("factor_not_accepted")
    proof = _prove(core, call, answer, challenge_id, challenge)
    call.learn(credential_id=proof.credential_id)
    auth_time = core.now_seconds()
    _use_up(core, call, challenge, proof, now_seconds=auth_time)
    return _issue(core, call, challenge, proof, acr=acr, auth_time=auth_time)


def _read_answer(body: bytes) -> Answer:
    try:
        answer: Answer = convert(parse_object(body), Answer)  # type: ignore[arg-type] # a union is no type to mypy
    except StrictFormError as error:
        raise MalformedRequestError(error.reason) from error
    return answer


def _living_challenge(core: Core, call: Call, challenge_id: str) -> Challenge:
    """Return the challenge; every refusal gives one and the same answer (ASVS 5.0 6.3.8)."""
    challenge_hash = hash_id(challenge_id)
    call.learn(challenge=challenge_hash)
    stored = core.store.challenge(challenge_hash)
    if stored is None:
        raise ChallengeRefusedError("unknown")
    call.by_anybody = False
    challenge = from_stored(stored.content, challenge_hash=challenge_hash)
    if challenge is None:
        raise ChallengeRefusedError("altered")
    call.learn(
        subject_id=challenge.subject_id,
        session_id=challenge.session_id,
        action=challenge.action,
        request_digest=challenge.request_digest,
        rule_ids=challenge.rule_ids,
        policy_digest=challenge.policy_digest,
        policy_version=challenge.policy_version,
    )
    if stored.consumed:
        raise ChallengeRefusedError("used")
    if stored.wrong_answers >= MAX_WRONG_ANSWERS:
        raise ChallengeRefusedError("exhausted")
    if challenge.expired(core.clock.now()):
        raise ChallengeRefusedError("expired")
    # What was required may have changed; the application asks again and gets what is required now.
    if core.policy_source.current().digest != challenge.policy_digest:
        raise ChallengeRefusedError("policy_changed")
    return challenge


def _prove(core: Core, call: Call, answer: Answer, challenge_id: str, challenge: Challenge) -> Proof:
    factor = FACTOR_OF_ANSWER[type(answer)]
    held = [one for one in core.living_credentials(challenge.subject_id) if one.factor == factor.name]
    attempt = Attempt(
        challenge_id=challenge_id,
        challenge=challenge,
        credentials=held,
        origin=core.settings.origin,
        now=core.clock.now(),
        sealer=core.sealer,
    )
    try:
        return factor.check(answer, attempt)
    except WrongAnswerError as error:
        call.penalties = _penalties(core, challenge, factor.name)
        raise ChallengeRefusedError(error.reason) from error


def _possession_marks(core: Core, challenge_id: str, challenge: Challenge, text: str | None) -> tuple[Write, ...]:
    """Return what uses up the DPoP proof that an answer needs where the session has a key."""
    if challenge.dpop_jkt is None:
        return ()
    url = f"{core.settings.public_url}{CHALLENGES}/{challenge_id}{RESPONSE_SUFFIX}"
    return (possession.proven(core, text, method="POST", url=url, jkt=challenge.dpop_jkt),)


def _use_up(core: Core, call: Call, challenge: Challenge, proof: Proof, *, now_seconds: int) -> None:
    """Use up challenge and code, and end the row of failures, in one commit with the record.

    The limit on failures is a condition of this commit: answers that were checked at the same time count in the
    order in which they are written, so the limit holds however many come at once.
    """
    writes: tuple[Write, ...] = (
        # First, so that a right answer during a wait costs the same as a wrong one.
        ClearFailures(subject_id=challenge.subject_id, factor=proof.factor, now_seconds=now_seconds),
        ConsumeChallenge(challenge_hash=challenge.challenge_hash),
        # A condition of the same commit: a credential that was revoked since it was read gave no right answer.
        UseCredential(credential_id=proof.credential_id, now_seconds=now_seconds),
        *proof.writes,
        *call.marks,
    )
    try:
        core.audit.commit([call.record("success")], writes)
    except ConditionFailedError as error:
        if isinstance(error.write, ConsumeChallenge):
            raise ChallengeRefusedError("used") from error
        if isinstance(error.write, ClearFailures):
            # Counts against the challenge like a wrong answer: else the challenges that survive a wait tell right
            # codes.
            call.penalties = (CountWrongAnswer(challenge_hash=challenge.challenge_hash),)
            raise ChallengeRefusedError("throttled") from error
        call.penalties = _penalties(core, challenge, proof.factor)
        raise ChallengeRefusedError(_REASONS[type(error.write)]) from error
    call.marks = ()  # used up; what fails from here on is recorded without them


def _issue(
    core: Core, call: Call, challenge: Challenge, proof: Proof, *, acr: str, auth_time: int
) -> models.AssertionIssued:
    claims = assertion.Claims(
        iss=core.settings.issuer,
        aud=challenge.audience,
        sub=challenge.subject_id,
        sid=challenge.session_id,
        iat=auth_time,
        nbf=auth_time,
        exp=auth_time + _ttl_seconds(core, challenge),
        jti=encode_base64url(core.random.token_bytes(TOKEN_ID_BYTES)),
        auth_time=auth_time,
        acr=acr,
        amr=proof.amr,
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
        credential_id=proof.credential_id,
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


def _penalties(core: Core, challenge: Challenge, factor: str) -> tuple[Write, ...]:
    return (
        CountFailure(subject_id=challenge.subject_id, factor=factor, now_seconds=core.now_seconds()),
        CountWrongAnswer(challenge_hash=challenge.challenge_hash),
    )
