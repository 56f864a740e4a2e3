"""Which algorithms a key may have for its purpose: those that whoever checks its signatures can verify."""

from collections.abc import Mapping

from keyrung_provisioners.api import Purpose

_VERIFIER = ("P-256", "Ed25519")
ALLOWED: Mapping[Purpose, tuple[str, ...]] = {
    Purpose.ASSERTION_SIGNING: _VERIFIER,  # the guard, and whoever reads the published key set
    Purpose.POLICY_SIGNING: (*_VERIFIER, "P-384", "RSA-3072"),  # the bundle format
    Purpose.AUDIT_SIGNING: _VERIFIER,  # the reader of the audit log
    Purpose.USER_CREDENTIAL: _VERIFIER,  # the verifier, which checks what a person's token signed
    Purpose.CREDENTIAL_SEED: ("AES-256",),
    Purpose.KEK: ("AES-256",),
}


def algorithm_refusal(purpose: Purpose, algorithm: str) -> str | None:
    """Return why a key for ``purpose`` cannot be of ``algorithm``, with what it can be; None when it can."""
    allowed = ALLOWED[purpose]
    return None if algorithm in allowed else f"a key for {purpose} cannot be {algorithm}; use {' or '.join(allowed)}"
