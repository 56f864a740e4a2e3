"""How long to wait before the next try, within a call's deadline: exponential backoff with full jitter.

Full jitter (a random wait from nothing to the ceiling) spreads many clients that were refused at once; AWS's
Architecture Blog compares it with others ("Exponential Backoff And Jitter").
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keyrung_verifier.protocols import Random

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
MAX_TRIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How tries of one call are spread; `sleep` waits for so many seconds."""

    random: Random
    sleep: Callable[[float], None] = time.sleep

    def tries(self, *, deadline_seconds: float, max_tries: int = MAX_TRIES) -> Iterator[int]:
        """Yield the number of each try from 0, after its wait; end when tries or time (`time.monotonic`) are up."""
        for number in range(max_tries):
            if number:
                ceiling_seconds = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (number - 1))
                wait_seconds = ceiling_seconds * int.from_bytes(self.random.token_bytes(4)) / 2**32
                if time.monotonic() + wait_seconds >= deadline_seconds:
                    return
                self.sleep(wait_seconds)
            yield number
