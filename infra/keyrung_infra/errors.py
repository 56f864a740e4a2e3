"""The errors of this package: each is one sentence and names the step that fixes it."""

from __future__ import annotations


class InfraError(Exception):
    """The base of all errors that keyrung_infra raises on purpose.

    Args:
        message: What is wrong, in one sentence without a secret.
        fix: The step that puts it right.
    """

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}"
