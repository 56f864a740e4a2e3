"""A signature that the subject made by hand, with any tool that reaches their token, and pasted.

It proves possession of the key and nothing about where the subject thought to be: the text names no origin, because
no client of ours saw one. A label of its own keeps it apart from the origin-bound form: neither stands for the other.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from keyrung_policies import jws
from keyrung_verifier.challenge import Challenge
from keyrung_verifier.errors import WrongAnswerError
from keyrung_verifier.factors import token_signature
from keyrung_verifier.factors.protocol import Attempt, Proof
from keyrung_verifier.limits import MAX_ID_CHARS
from keyrung_verifier.models import Model, Offer, PastedSignatureOffer
from keyrung_verifier.store.protocol import Credential
from keyrung_verifier.strict import length_prefixed

NAME = token_signature.POSSESSION
LABEL = "keyrung pasted-signature v1"


class PastedSignatureAnswer(Model, frozen=True, tag=NAME, tag_field="factor"):
    """A signature (base64url; ES256: r and s side by side) over the challenge's signing input."""

    credential_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
    signature: Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]


class PastedSignature:
    """The factor `urn:keyrung:possession`, answered by hand."""

    name = NAME
    credential_factor = token_signature.NAME
    guessable = False

    def proves(self, credential: Credential) -> frozenset[str]:
        """Return possession alone, whatever token made the key."""
        return frozenset({NAME})

    def offers(
        self, challenge_id: str, challenge: Challenge, credentials: Sequence[Credential], origin: str
    ) -> Sequence[Offer]:
        """Return one offer for each key."""
        text = jws.encode_base64url(_signing_input(challenge_id, challenge))
        return [PastedSignatureOffer(credential_id=held.credential_id, signing_input=text) for held in credentials]

    def check(self, answer: Struct, attempt: Attempt) -> Proof:
        """Return the proof for a signature by the named key of the subject."""
        if not isinstance(answer, PastedSignatureAnswer):
            raise WrongAnswerError("answer_form")
        return token_signature.signed_with(
            self,
            answer.credential_id,
            attempt.credentials,
            signing_input=_signing_input(attempt.challenge_id, attempt.challenge),
            signature=answer.signature,
        )


def _signing_input(challenge_id: str, challenge: Challenge) -> bytes:
    return length_prefixed(LABEL, *token_signature.bound_values(challenge_id, challenge))
