"""The ways to answer a challenge: one file each, listed here and nowhere else."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from keyrung_verifier.factors.pasted_signature import PastedSignature, PastedSignatureAnswer
from keyrung_verifier.factors.protocol import Factor
from keyrung_verifier.factors.token_signature import TokenSignature, TokenSignatureAnswer
from keyrung_verifier.factors.totp import OtpAnswer, Totp
from keyrung_verifier.store.protocol import Credential

Answer: TypeAlias = OtpAnswer | TokenSignatureAnswer | PastedSignatureAnswer

# Which factor an answer belongs to, by its shape.
FACTOR_OF_ANSWER: Mapping[type[Answer], Factor] = {
    OtpAnswer: Totp(),
    TokenSignatureAnswer: TokenSignature(),
    PastedSignatureAnswer: PastedSignature(),
}


def provable(credentials: Iterable[Credential]) -> frozenset[str]:
    """Return the policy's factors that somebody with these credentials can prove."""
    held = list(credentials)
    proven = (
        factor.proves(credential)
        for factor in FACTOR_OF_ANSWER.values()
        for credential in held
        if credential.factor == factor.credential_factor
    )
    return frozenset().union(*proven)
