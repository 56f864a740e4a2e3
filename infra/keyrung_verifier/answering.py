"""The subject's side of a step-up: see the challenge, answer it, receive the assertion.

The order is fixed: check the answer, use up the challenge together with its record, then sign, then record the
assertion, then hand it out. Whatever fails on the way leaves a used challenge and no assertion. Where the policy asks
for several factors together, right answers are kept with the challenge until they are enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from keyrung_verifier import models, possession
from keyrung_verifier.audit_writer import hash_id
from keyrung_verifier.calls import Call
from keyrung_verifier.challenge import Challenge, from_stored
from keyrung_verifier.core import Core
from keyrung_verifier.errors import (
    ChallengeRefusedError,
    MalformedRequestError,
    StrictFormError,
    WrongAnswerError,
)
from keyrung_verifier.factors import FACTOR_OF_ANSWER, Answer
from keyrung_verifier.factors.protocol import Attempt, Factor, Proof
from keyrung_verifier.issuing import issue
from keyrung_verifier.limits import MAX_WRONG_ANSWERS
from keyrung_verifier.paths import CHALLENGES, RESPONSE_SUFFIX
from keyrung_verifier.store.protocol import (
    AdvanceCounter,
    ClearFailures,
    ConditionFailedError,
    ConsumeChallenge,
    ConsumeOnce,
    CountFailure,
    CountWrongAnswer,
    Credential,
    KeepAnswer,
    KeptAnswer,
    UseCredential,
    Write,
)
from keyrung_verifier.strict import convert, parse_object

# What it means that a condition of a commit does not hold: of the challenge, which others have answered meanwhile, ...
_CHALLENGE_REASONS: Mapping[type[Write], str] = {ConsumeChallenge: "used", KeepAnswer: "used"}
# ... and of the answer itself, which then counts as a wrong one.
_ANSWER_REASONS: Mapping[type[Write], str] = {
    AdvanceCounter: "code_used",
    UseCredential: "credential_revoked",
    ConsumeOnce: "dpop_used",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """A challenge that can be answered, under the id that its holder showed.

    Attributes:
        held: What the subject held when it was made.
        answers: The right ones so far.
    """

    challenge_id: str = field(repr=False)
    challenge: Challenge
    held: Sequence[Credential]
    answers: tuple[KeptAnswer, ...]

    def proven(self) -> frozenset[str]:
        return frozenset(name for each in self.answers for name in each.factors)

    def acr(self) -> str | None:
        """Return the acr of the highest level that the answers reach, or None while they are not enough."""
        return self.challenge.reached(self.proven())

    def of_factor(self, factor: Factor) -> list[Credential]:
        return [each for each in self.held if each.factor == factor.credential_factor]

    def helping(self, factor: Factor) -> list[Credential]:
        """Return the credentials of the factor that bring the subject nearer."""
        return [each for each in self.of_factor(factor) if self.helps(factor.proves(each))]

    def helps(self, factors: frozenset[str]) -> bool:
        return self.challenge.helps(factors, self.proven())


def view(core: Core, call: Call, challenge_id: str) -> models.ChallengeView:
    """Show a living challenge to whoever holds its id."""
    opened = _open(core, call, challenge_id)
    challenge = opened.challenge
    return models.ChallengeView(
        challenge_id=challenge_id,
        display=challenge.display,
        origin=core.settings.origin,
        expires_at=challenge.expires_at_seconds,
        factors=_offers(core, opened),
        dpop_required=challenge.dpop_jkt is not None,
    )


def respond(
    core: Core, call: Call, challenge_id: str, body: bytes, dpop: str | None
) -> models.AssertionIssued | models.AnswerKept:
    """Take an answer to a challenge, with its DPoP header; what is enough gives an assertion, once."""
    # Read before the challenge is looked up: a malformed answer tells nothing about it.
    answer = _read_answer(body)
    factor = FACTOR_OF_ANSWER[type(answer)]
    call.learn(factor=factor.name, challenge=hash_id(challenge_id))
    opened = _open(core, call, challenge_id)
    # Before the answer is looked at: whoever lacks the session's key can neither guess nor use up tries.
    call.marks = _possession_marks(core, opened, dpop)
    proof = _prove(core, call, answer, opened)
    call.learn(credential_id=proof.credential.credential_id)
    factors = factor.proves(proof.credential)
    if not opened.helps(factors):
        raise ChallengeRefusedError("factor_not_accepted")
    taken = KeptAnswer(
        name=factor.name,
        factors=tuple(sorted(factors)),
        credential_id=proof.credential.credential_id,
        amr=proof.amr,
        at_seconds=core.now_seconds(),
    )
    return _take(core, call, replace(opened, answers=(*opened.answers, taken)), proof)


def _read_answer(body: bytes) -> Answer:
    try:
        answer: Answer = convert(parse_object(body), Answer)  # type: ignore[arg-type] # a union is no type to mypy
    except StrictFormError as error:
        raise MalformedRequestError(error.reason) from error
    return answer


def _open(core: Core, call: Call, challenge_id: str) -> _Open:
    """Return the living challenge; every refusal gives one and the same answer (ASVS 5.0 6.3.8)."""
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
    # What was enrolled since can't answer it. What was revoked since costs the same work as before, so that nothing
    # tells; whether it still stands is a condition of the commit (ASVS 5.0 6.5.6).
    held = [
        each for each in core.store.credentials(challenge.subject_id) if each.credential_id in challenge.credential_ids
    ]
    return _Open(challenge_id=challenge_id, challenge=challenge, held=held, answers=stored.answers)


def _offers(core: Core, opened: _Open) -> list[models.Offer]:
    """Return the ways of answering that bring the subject nearer."""
    return [
        offer
        for factor in FACTOR_OF_ANSWER.values()
        for offer in factor.offers(opened.challenge_id, opened.challenge, opened.helping(factor), core.settings.origin)
    ]


def _prove(core: Core, call: Call, answer: Answer, opened: _Open) -> Proof:
    factor = FACTOR_OF_ANSWER[type(answer)]
    if not opened.helping(factor):
        raise ChallengeRefusedError("factor_not_accepted")
    attempt = Attempt(
        challenge_id=opened.challenge_id,
        challenge=opened.challenge,
        credentials=opened.of_factor(factor),
        origin=core.settings.origin,
        now=core.clock.now(),
        sealer=core.sealer,
    )
    try:
        return factor.check(answer, attempt)
    except WrongAnswerError as error:
        call.penalties = _penalties(core, opened.challenge, factor)
        raise ChallengeRefusedError(error.reason) from error


def _possession_marks(core: Core, opened: _Open, text: str | None) -> tuple[Write, ...]:
    """Return what uses up the DPoP proof that an answer needs where the session has a key."""
    jkt = opened.challenge.dpop_jkt
    if jkt is None:
        return ()
    url = f"{core.settings.public_url}{CHALLENGES}/{opened.challenge_id}{RESPONSE_SUFFIX}"
    return (possession.proven(core, text, method="POST", url=url, jkt=jkt),)


def _take(core: Core, call: Call, opened: _Open, proof: Proof) -> models.AssertionIssued | models.AnswerKept:
    """Use up the challenge if the answers are enough, else keep the last of them, which is new."""
    challenge = opened.challenge
    use_up = ConsumeChallenge(challenge_hash=challenge.challenge_hash)
    acr = opened.acr()
    if acr is not None:
        _commit_answer(core, call, challenge, proof, use_up)
        return issue(core, call, challenge, opened.answers, acr=acr)
    keep = KeepAnswer(
        challenge_hash=challenge.challenge_hash,
        answer=opened.answers[-1],
        expires_at_seconds=challenge.expires_at_seconds,
    )
    _commit_answer(core, call, challenge, proof, keep)
    # Two who answered at once each saw too little: what is kept now decides.
    stored = core.store.challenge(challenge.challenge_hash)
    opened = replace(opened, answers=() if stored is None else stored.answers)
    acr = opened.acr()
    if acr is None:
        return models.AnswerKept(
            challenge_id=opened.challenge_id,
            expires_at=challenge.expires_at_seconds,
            factors=_offers(core, opened),
        )
    try:
        core.audit.commit([call.record("success")], [use_up])
    except ConditionFailedError as error:
        raise ChallengeRefusedError("used") from error
    return issue(core, call, challenge, opened.answers, acr=acr)


def _commit_answer(
    core: Core, call: Call, challenge: Challenge, proof: Proof, progress: ConsumeChallenge | KeepAnswer
) -> None:
    """Take a right answer: use up code and proof, and end the row of failures, in one commit with the record.

    The limit on failures is a condition of this commit: answers that were checked at the same time count in the
    order in which they are written, so the limit holds however many come at once.
    """
    factor = proof.factor
    now_seconds = core.now_seconds()
    clear = ClearFailures(subject_id=challenge.subject_id, factor=factor.name, now_seconds=now_seconds)
    writes: tuple[Write, ...] = (
        # First, so that a right answer during a wait costs the same as a wrong one.
        *([clear] if factor.guessable else []),
        progress,
        # A condition of the same commit: a credential that was revoked since it was read gave no right answer.
        UseCredential(credential_id=proof.credential.credential_id, now_seconds=now_seconds),
        *proof.writes,
        *call.marks,
    )
    reason = "more_needed" if isinstance(progress, KeepAnswer) else None
    try:
        core.audit.commit([call.record("success", reason)], writes)
    except ConditionFailedError as error:
        failed = type(error.write)
        if failed in _CHALLENGE_REASONS:
            raise ChallengeRefusedError(_CHALLENGE_REASONS[failed]) from error
        if failed in _ANSWER_REASONS:
            call.penalties = _penalties(core, challenge, factor)
            raise ChallengeRefusedError(_ANSWER_REASONS[failed]) from error
        # Counts against the challenge like a wrong answer: else the challenges that survive a wait tell right codes.
        call.penalties = (CountWrongAnswer(challenge_hash=challenge.challenge_hash),)
        raise ChallengeRefusedError("throttled") from error
    call.marks = ()  # used up; what fails from here on is recorded without them


def _penalties(core: Core, challenge: Challenge, factor: Factor) -> tuple[Write, ...]:
    """Return what a wrong answer costs: a try of the challenge, and of the factor where trying could find an answer.

    Whoever sends wrong signatures must not lock out the person whose token makes right ones.
    """
    try_of_challenge = CountWrongAnswer(challenge_hash=challenge.challenge_hash)
    if not factor.guessable:
        return (try_of_challenge,)
    return (
        CountFailure(subject_id=challenge.subject_id, factor=factor.name, now_seconds=core.now_seconds()),
        try_of_challenge,
    )
