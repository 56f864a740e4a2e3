"""What a changed policy means next to the deployed one, in a sentence for `pulumi preview`.

The solver is loaded only when a policy changes. Where it is missing, or the deployed policy can't be read any more,
nothing is known, and that counts as weaker.
"""

from dataclasses import dataclass
from functools import lru_cache

import msgspec

from keyrung_policies.analysis.errors import AnalysisError
from keyrung_policies.analysis.strength import Verdict
from keyrung_policies.errors import PolicyError
from keyrung_policies.model import Document
from keyrung_policies.policy_set import PolicySet, policy_set

# A preview waits for this; a comparison of 1,000 rules takes a few seconds.
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVerdict:
    """How a policy compares to the deployed one, with one example in words where it differs."""

    verdict: Verdict
    sentence: str


def read_policy(text: str) -> PolicySet:
    """Return the policy of canonical JSON.

    Raises:
        msgspec.MsgspecError: It is no policy document.
        PolicyError: The document contradicts itself.
    """
    return policy_set(msgspec.json.decode(text, type=Document))


@lru_cache(maxsize=1)
def policy_verdict(deployed: str, declared: str) -> PolicyVerdict:
    """Return how the declared policy compares to the deployed one; the engine asks several times."""
    try:
        before, after = read_policy(deployed), read_policy(declared)
    except (msgspec.MsgspecError, PolicyError):
        return _undecided("the deployed policy is of another version of the language")
    try:
        # Loads the solver, which a provider that changes no policy never needs.
        from keyrung_policies.analysis.diff import diff  # noqa: PLC0415
        from keyrung_policies.reports.summary import summary  # noqa: PLC0415

        found = diff(before, after, timeout_seconds=_TIMEOUT_SECONDS)
    except AnalysisError as error:
        return _undecided(str(error).removesuffix("."))
    return PolicyVerdict(verdict=found.verdict, sentence=f"{summary(found)}.")


def _undecided(why: str) -> PolicyVerdict:
    return PolicyVerdict(verdict=Verdict.UNDECIDED, sentence=f"not decided, which counts as weaker: {why}.")
