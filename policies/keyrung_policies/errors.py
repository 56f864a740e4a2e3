"""The error family of this package: authoring findings with their place, bundle refusals with their reason.

Only `PolicyError` and its children leave the package, so a caller has one class to catch and still sees
what happened from the type and the fields.
"""

from dataclasses import dataclass


class PolicyError(Exception):
    """Base of every error this package raises on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong and how to mend it, before a place in a file is known."""

    id: str
    sentence: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceError:
    """One mistake in a policy file; lines and columns count from 1."""

    id: str
    file: str
    line: int
    column: int
    sentence: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.id}: {self.sentence}; {self.fix}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node begins; line and column count from 1."""

    file: str
    line: int
    column: int

    def error(self, problem: Problem) -> SourceError:
        """Return the problem as an error at this place."""
        return SourceError(
            id=problem.id,
            file=self.file,
            line=self.line,
            column=self.column,
            sentence=problem.sentence,
            fix=problem.fix,
        )


class PolicyErrors(PolicyError):  # noqa: N818 - the plural says that it carries several
    """All mistakes of all files of a folder, ordered by place."""

    def __init__(self, errors: tuple[SourceError, ...]) -> None:
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))


class CanonicalError(PolicyError):
    """A value has no canonical JSON form."""


class PolicyModelError(PolicyError):
    """A policy document contradicts itself, for instance a rule that names a level nobody declared."""

    def __init__(self, problem: Problem, *, where: str) -> None:
        self.problem = problem
        self.where = where
        super().__init__(f"{where}: {problem.id}: {problem.sentence}; {problem.fix}.")


class EvaluationError(PolicyError):
    """The caller of `evaluate` passed something that cannot be judged."""


class DisplayError(PolicyError):
    """A display text cannot be filled from the attributes of a request."""

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute
        super().__init__(f"the display text needs the attribute {attribute}; send it with the request.")


class BundleSigningError(PolicyError):
    """A bundle could not be built or signed from what the caller passed."""


class BundleRefusedError(PolicyError):
    """A bundle is not trusted; `reason` is a short code for logs and metrics."""

    reason = "refused"


class BundleCorruptError(BundleRefusedError):
    """The bytes are not a bundle, or the signature does not fit them."""

    reason = "corrupt"


class BundleUnsignedError(BundleRefusedError):
    """The bundle carries no signature."""

    reason = "unsigned"


class BundleUnknownSignerError(BundleRefusedError):
    """The bundle names a key that is not trusted, or an algorithm that this key does not have."""

    reason = "unknown-signer"


class BundleExpiredError(BundleRefusedError):
    """The bundle's life is over."""

    reason = "expired"


class BundleNotYetValidError(BundleRefusedError):
    """The bundle's life has not begun."""

    reason = "not-yet-valid"


class BundleRollbackError(BundleRefusedError):
    """The bundle is older than one that was accepted before."""

    reason = "rollback"
