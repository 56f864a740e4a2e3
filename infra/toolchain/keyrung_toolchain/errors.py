"""The errors of set-up: one sentence that says what is wrong and one that says what to do."""

from __future__ import annotations


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
    """A program that set-up started failed or could not be started."""


class UnreachableError(SetupError):
    """A source gave no answer in time; the next one is tried."""


class DamagedError(SetupError):
    """A file in the cache is not what was put there."""
