"""A session that is bound to a key (RFC 9449).

Its token comes under the DPoP scheme only, and whatever a step-up pays for comes with a proof of the key, which the
verifier checks and uses up.
"""

from collections.abc import Mapping

from keyrung_verifier import dpop
from keyrung_verifier.guard.challenges import key_not_proved
from keyrung_verifier.guard.model import Head, Session


def check_scheme(head: Head, session: Session) -> None:
    """Refuse a token under the other scheme (section 7.2).

    A token under DPoP whose session `identify` gave no key is refused too: nothing would be bound to a key that the
    client takes care to prove.
    """
    schemes = {value.partition(" ")[0].lower() for value in head.values("authorization")}
    if (session.dpop_jkt is not None and schemes != {"dpop"}) or (session.dpop_jkt is None and "dpop" in schemes):
        raise key_not_proved("invalid_token", "authentication scheme")


def proof_of(head: Head) -> Mapping[str, str]:
    """Return the proof that the request brings and what it has to state of the token, as the verifier takes them."""
    proofs, credentials = head.values("dpop"), head.values("authorization")
    if len(proofs) != 1:
        raise key_not_proved("invalid_dpop_proof", f"{len(proofs)} proofs")
    try:
        (authorization,) = credentials
        token = dpop.presented_token(authorization, bound=True)
    except (ValueError, dpop.DpopInvalidError) as error:
        raise key_not_proved("invalid_token", "no token under DPoP") from error
    return {"proof": proofs[0], "token_sha256": dpop.token_sha256(token)}
