"""The errors of the toolkit: each a sentence for people that names the fix, and fields for programs."""

from collections.abc import Mapping


class InfraError(Exception):
    """Base of every error that leaves this package.

    Attributes:
        message: What happened, without a full stop.
        fix: What the reader can do about it.
        fields: Machine-readable details; never a secret.
    """

    def __init__(self, message: str, *, fix: str, **fields: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.fields: Mapping[str, object] = fields

    def __str__(self) -> str:
        return f"{self.message}: {self.fix}."
