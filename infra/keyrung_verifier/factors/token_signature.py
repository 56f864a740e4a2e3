"""A signature by a key in the subject's hardware token over everything the step-up is bound to.

Origin-bound: the text starts with this verifier's origin, which our client takes from its own TLS connection, so a
signature given to another site is worth nothing here. Attested: what was read back when an operator had the token make
the key shows that it was made in hardware and never was outside.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from keyrung_policies import jws
from keyrung_verifier.challenge import Challenge
from keyrung_verifier.errors import StrictFormError, WrongAnswerError
from keyrung_verifier.factors.protocol import Attempt, Factor, Proof
from keyrung_verifier.limits import MAX_ID_CHARS
from keyrung_verifier.models import Model, Offer, TokenSignatureOffer
from keyrung_verifier.store.protocol import Credential
from keyrung_verifier.strict import decode_base64url, length_prefixed

NAME = "token-signature-origin-bound"
ATTESTED = "token-signature-attested"
POSSESSION = "urn:keyrung:possession"
LABEL = "keyrung token-signature-origin-bound v1"
ENROLMENT_LABEL = "keyrung token enrolment v1"
# What the evidence of a credential has to say of a key for `token-signature-attested`: read back from the token with
# these names (PKCS#11 section 4.9), and proven to be there.
ATTESTING: Mapping[str, bool] = {
    "hardware": True,
    "CKA_LOCAL": True,
    "CKA_ALWAYS_SENSITIVE": True,
    "CKA_NEVER_EXTRACTABLE": True,
    "possession_proven": True,
}
# RFC 8176 section 2: hwk only where evidence shows that the key cannot leave hardware.
HARDWARE_AMR = ("hwk", "pop")
SOFTWARE_AMR = ("swk", "pop")


class TokenSignatureAnswer(Model, frozen=True, tag=NAME, tag_field="factor"):
    """A signature (base64url; ES256: r and s side by side) over the challenge's signing input."""

    credential_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
    origin: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
    signature: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]


def enrolment_input(*, subject_id: str, key_id: str, nonce: bytes) -> bytes:
    """Return what a key signs to prove that its private half is at hand when it is registered for the subject."""
    return length_prefixed(ENROLMENT_LABEL, subject_id, key_id, nonce)


class TokenSignature:
    """The factor `token-signature-origin-bound`."""

    name = NAME
    credential_factor = NAME
    guessable = False

    def proves(self, credential: Credential) -> frozenset[str]:
        """Return what a signature with this key is good for: possession, the origin, and hardware where shown."""
        attested = all(credential.evidence.get(name) is value for name, value in ATTESTING.items())
        return frozenset({POSSESSION, NAME, ATTESTED} if attested else {POSSESSION, NAME})

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
        return signed_with(
            self,
            answer.credential_id,
            attempt.credentials,
            signing_input=_signing_input(attempt.challenge_id, attempt.challenge, attempt.origin),
            signature=answer.signature,
        )


def signed_with(
    factor: Factor, credential_id: str, credentials: Sequence[Credential], *, signing_input: bytes, signature: str
) -> Proof:
    """Return the proof for a signature over a text by the named one of these keys.

    Raises:
        WrongAnswerError: There is no such key, or the signature is not one of it.
    """
    named = next((held for held in credentials if held.credential_id == credential_id), None)
    if named is None or named.public_jwk is None:
        raise WrongAnswerError("unknown_credential")
    try:
        signed = decode_base64url(signature, size_bytes=jws.SIGNATURE_BYTES)
    except StrictFormError as error:
        raise WrongAnswerError("signature_form") from error
    # The algorithm is the one of the key as registered.
    if not jws.signature_fits(named.public_jwk, signing_input=signing_input, signature=signed):
        raise WrongAnswerError("wrong_signature")
    in_hardware = named.evidence.get("hardware") is True
    return Proof(factor=factor, credential=named, amr=HARDWARE_AMR if in_hardware else SOFTWARE_AMR)


def bound_values(challenge_id: str, challenge: Challenge) -> tuple[str, ...]:
    """Return what every signed text says of a challenge, in order."""
    return (
        challenge_id,
        challenge.subject_id,
        challenge.request_digest,
        challenge.action,
        challenge.policy_digest,
        challenge.display_digest(),
        str(challenge.expires_at_seconds),
    )


def _signing_input(challenge_id: str, challenge: Challenge, origin: str) -> bytes:
    return length_prefixed(LABEL, origin, *bound_values(challenge_id, challenge))
