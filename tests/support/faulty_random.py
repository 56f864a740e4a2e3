"""A random source that a test breaks while it is in use."""

import secrets
from collections.abc import Callable


class FaultyRandom:
    """Draws from the system until ``draw`` is replaced."""

    def __init__(self) -> None:
        self.draw: Callable[[int], bytes] = secrets.token_bytes

    def token_bytes(self, size_bytes: int) -> bytes:
        return self.draw(size_bytes)
