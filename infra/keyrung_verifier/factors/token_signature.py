"""A signature by a key in the subject's hardware token over everything the step-up is bound to.

Origin-bound: the text starts with this verifier's origin, which our client takes from its own TLS connection, so a
signature given to another site is worth nothing here.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from keyrung_policies import jws
from keyrung_verifier.challenge import Challenge
from keyrung_verifier.errors import StrictFormError, WrongAnswerError
from keyrung_verifier.factors.protocol import Attempt, Proof
from keyrung_verifier.limits import MAX_ID_CHARS
from keyrung_verifier.models import Model, Offer, TokenSignatureOffer
from keyrung_verifier.store.protocol import Credential
from keyrung_verifier.strict import decode_base64url, length_prefixed

NAME = "token-signature-origin-bound"
LABEL = "keyrung token-signature-origin-bound v1"
ENROLMENT_LABEL = "keyrung token enrolment v1"
# RFC 8176 section 2: hwk only where evidence shows that the key cannot leave hardware.
HARDWARE_AMR = ("hwk", "pop")
SOFTWARE_AMR = ("swk", "pop")


class TokenSignatureAnswer(Model, frozen=True, tag=NAME, tag_field="factor"):
    """A signature (base64url; ES256: r and s side by side) over the challenge's signing input."""

    credential_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
    origin: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
    signature: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]


def signing_input(
    *,
    origin: str,
    challenge_id: str,
    subject_id: str,
    request_digest: str,
    action: str,
    policy_digest: str,
    display_digest: str,
    expires_at_seconds: int,
) -> bytes:
    """Return the bytes to sign: a label and every bound value, each behind its length."""
    return length_prefixed(
        LABEL,
        origin,
        challenge_id,
        subject_id,
        request_digest,
        action,
        policy_digest,
        display_digest,
        str(expires_at_seconds),
    )


def enrolment_input(*, subject_id: str, key_id: str, nonce: bytes) -> bytes:
    """Return what a key signs to prove that its private half is at hand when it is registered for the subject."""
    return length_prefixed(ENROLMENT_LABEL, subject_id, key_id, nonce)


class TokenSignature:
    """The factor `token-signature-origin-bound`."""

    name = NAME

    def offers(
        self, challenge_id: str, challenge: Challenge, credentials: Sequence[Credential], origin: str
    ) -> Sequence[Offer]:
        """Return one offer for each key."""
        text = jws.encode_base64url(_signing_input(challenge_id, challenge, origin))
        return [
            TokenSignatureOffer(credential_id=credential.credential_id, signing_input=text)
            for credential in credentials
        ]

    def check(self, answer: Struct, attempt: Attempt) -> Proof:
        """Return the proof for a signature by the named key of the subject."""
        if not isinstance(answer, TokenSignatureAnswer):
            raise WrongAnswerError("answer_form")
        # Exact: a signature made for a look-alike origin is refused even before it fails to verify.
        if answer.origin != attempt.origin:
            raise WrongAnswerError("wrong_origin")
        named = [held for held in attempt.credentials if held.credential_id == answer.credential_id]
        if not named or named[0].public_jwk is None:
            raise WrongAnswerError("unknown_credential")
        try:
            signature = decode_base64url(answer.signature, size_bytes=jws.SIGNATURE_BYTES)
        except StrictFormError as error:
            raise WrongAnswerError("signature_form") from error
        text = _signing_input(attempt.challenge_id, attempt.challenge, attempt.origin)
        # The algorithm is the one of the key as registered.
        if not jws.signature_fits(named[0].public_jwk, signing_input=text, signature=signature):
            raise WrongAnswerError("wrong_signature")
        in_hardware = named[0].evidence.get("hardware") is True
        amr = HARDWARE_AMR if in_hardware else SOFTWARE_AMR
        return Proof(factor=NAME, credential_id=named[0].credential_id, amr=amr)


def _signing_input(challenge_id: str, challenge: Challenge, origin: str) -> bytes:
    return signing_input(
        origin=origin,
        challenge_id=challenge_id,
        subject_id=challenge.subject_id,
        request_digest=challenge.request_digest,
        action=challenge.action,
        policy_digest=challenge.policy_digest,
        display_digest=challenge.display_digest(),
        expires_at_seconds=challenge.expires_at_seconds,
    )
