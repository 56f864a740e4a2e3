"""The errors of set-up: one sentence that says what is wrong and one that says what to do."""

from __future__ import annotations

TAIL_LINES = 15
"""How much of a failed program's output is shown: enough for a compiler's message, short enough to be read."""


class SetupError(Exception):
    """Base of all errors of set-up.

    Args:
        message: What is wrong, in one sentence.
        fix: What to do, in one sentence; empty when the caller knows better and adds it.
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".rstrip()


class CommandError(SetupError):
    """A program that set-up started failed or could not be started.

    Args:
        message: What happened, in one sentence.
        output: What the program printed.
    """

    def __init__(self, message: str, *, output: str = "") -> None:
        super().__init__(message)
        self.output = output

    def __str__(self) -> str:
        tail = "\n".join(self.output.strip().splitlines()[-TAIL_LINES:])
        return f"{self.message}\n{tail}\n" if tail else self.message

    @property
    def last_line(self) -> str:
        """The last thing that the program said, or else what happened to it."""
        return (self.output.strip().splitlines() or [self.message])[-1]


class UnreachableError(SetupError):
    """A source gave no answer in time; the next one is tried."""


class DamagedError(SetupError):
    """A file in the cache is not what was put there."""
