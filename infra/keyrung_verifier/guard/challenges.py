"""What a 401 asks of the client: a step-up (RFC 9470), or a better proof of its key (RFC 9449)."""

from keyrung_policies.jws import KEY_ALGORITHMS
from keyrung_verifier.guard.messages import Challenge, Context
from keyrung_verifier.guard.model import Refusal

_ALGORITHMS = " ".join(KEY_ALGORITHMS.values())


def step_up_needed(context: Context, challenge: Challenge, *, bound: bool) -> Refusal:
    """Return the challenge of RFC 9470 section 3, with where to answer it.

    Args:
        context: What the policy asks for.
        challenge: Where it is answered.
        bound: Whether the session has a key; its client is told the nonce for its proof before it needs one.
    """
    parameters = {
        "error": "insufficient_user_authentication",
        "error_description": "A step-up is needed for this request",
        "acr_values": " ".join(context.acr_values),
        "max_age": str(context.max_age),
        "stepup_uri": challenge.stepup_uri,
    }
    headers = {"WWW-Authenticate": _header(parameters, bound=bound)}
    if bound and challenge.dpop_nonce is not None:
        headers["DPoP-Nonce"] = challenge.dpop_nonce
    return Refusal(401, parameters["error"], "step-up needed", headers)


def key_not_proved(error: str, reason: str, *, nonce: str | None = None) -> Refusal:
    """Return the refusal of a token or proof (RFC 9449 sections 7.1 and 9); `nonce` is the one to use next."""
    headers = {"WWW-Authenticate": _header({"error": error}, bound=True)}
    return Refusal(401, error, reason, headers if nonce is None else headers | {"DPoP-Nonce": nonce})


def _header(parameters: dict[str, str], *, bound: bool) -> str:
    if bound:
        parameters = parameters | {"algs": _ALGORITHMS}
    return ("DPoP " if bound else "Bearer ") + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
