"""What must hold of a machine before a verifier serves on it."""

from keyrung_verifier.errors import ConfigurationError
from keyrung_verifier.limits import CHALLENGE_ID_BYTES
from keyrung_verifier.protocols import Random

# Enough to tell a source that is stuck or has a short period from one that is not.
DRAWS = 16


def check_random(random: Random) -> None:
    """Draw challenge ids and throw them away.

    Raises:
        ConfigurationError: The source fails, gives another length, or gives one of them twice.
    """
    try:
        drawn = {random.token_bytes(CHALLENGE_ID_BYTES) for _ in range(DRAWS)}
    except Exception as error:  # whatever a source raises, the outcome is the same: no randomness
        raise ConfigurationError("the random source fails; repair it before this program serves") from error
    if len(drawn) != DRAWS or any(len(one) != CHALLENGE_ID_BYTES for one in drawn):
        raise ConfigurationError("the random source repeats itself; repair it before this program serves")
