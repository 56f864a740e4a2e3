"""Erasing secrets, as far as Python lets us."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def erased_after(secret: bytearray) -> Iterator[bytearray]:
    """Give ``secret`` and overwrite it at the end.

    This is best effort: copies that libraries and the interpreter made (bytes for a call, words of a share) cannot be
    reached and stay until their memory is used again. Hold ceremonies on a machine that is trusted and then restarted.
    """
    try:
        yield secret
    finally:
        secret[:] = bytes(len(secret))
