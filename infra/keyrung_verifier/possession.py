"""A DPoP proof that comes with a call: checked, and used up in the commit of what it came for.

A proof that was good is used up by a refusal too, so that nobody who saw it pass tries again with it.
"""

from keyrung_verifier import dpop
from keyrung_verifier.core import Core
from keyrung_verifier.errors import DpopInvalidError, DpopNonceError, DpopRefusedError
from keyrung_verifier.limits import CLOCK_SKEW_SECONDS
from keyrung_verifier.store.protocol import ConsumeOnce


def nonces(core: Core) -> tuple[str, str]:
    """Return the nonce to give out now and the one before it, the same in every process on this store."""
    return dpop.nonces_at(core.audit.derived_key(dpop.NONCE_LABEL), core.clock.now())


def proven(
    core: Core, text: str | None, *, method: str, url: str, jkt: str, token_sha256: str | None = None
) -> ConsumeOnce:
    """Return what uses up the proof in `text`.

    Raises:
        DpopNonceError: It needs another nonce.
        DpopRefusedError: There is none, or a check failed.
    """
    if text is None:
        raise DpopRefusedError("dpop_missing")
    try:
        proof = dpop.verify(
            text,
            method=method,
            url=url,
            jkt=jkt,
            nonces=nonces(core),
            now=core.clock.now(),
            token_sha256=token_sha256,
        )
    except DpopInvalidError as error:
        refused = DpopNonceError if error.reason == "nonce" else DpopRefusedError
        raise refused(f"dpop_{error.reason}") from error
    keep_until_seconds = proof.counts_until_seconds + 2 * CLOCK_SKEW_SECONDS
    return ConsumeOnce(kind="dpop", key=proof.key(), keep_until_seconds=keep_until_seconds)
