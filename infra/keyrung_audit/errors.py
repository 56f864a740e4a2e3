"""What can go wrong before a log can be judged; what is wrong inside a log is a finding, never an error."""

from __future__ import annotations

from pathlib import Path


class AuditError(Exception):
    """Base of every error of this package: the log could not be checked."""

    fix = "give a readable log, its checkpoints and the public audit key"


class SourceError(AuditError):
    """A log, checkpoint or key file can't be read."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class PublicKeyError(AuditError):
    """A public key given by the caller isn't usable; the sentence says why."""


class NotCanonicalError(AuditError):
    """Bytes aren't the canonical JSON of any value; the sentence says why."""


class RecordError(AuditError):
    """A line isn't a record of the format; `code` is the finding that it becomes."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class CheckpointError(AuditError):
    """A checkpoint line can't be trusted; `code` is the finding that it becomes."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
