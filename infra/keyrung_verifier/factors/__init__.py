"""The ways to answer a challenge: one file each, listed here and nowhere else."""

from collections.abc import Mapping
from typing import TypeAlias

from keyrung_verifier.factors.protocol import Factor
from keyrung_verifier.factors.token_signature import TokenSignature, TokenSignatureAnswer
from keyrung_verifier.factors.totp import OtpAnswer, Totp

Answer: TypeAlias = OtpAnswer | TokenSignatureAnswer

# Which factor an answer belongs to, by its shape.
FACTOR_OF_ANSWER: Mapping[type[Answer], Factor] = {OtpAnswer: Totp(), TokenSignatureAnswer: TokenSignature()}
FACTORS: Mapping[str, Factor] = {factor.name: factor for factor in FACTOR_OF_ANSWER.values()}
