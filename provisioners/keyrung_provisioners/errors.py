"""The errors of the provisioners: one family, each a sentence for people with the fix, and fields for programs.

No message or field ever holds a key byte, PIN or token.
"""


class ProvisionerError(Exception):
    """Base of every error that leaves this package.

    Attributes:
        message: What happened, without a full stop.
        fix: What the reader can do about it.
        fields: Machine-readable details (key URIs, thumbprints, attribute names).
    """

    def __init__(self, message: str, *, fix: str, **fields: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.message}: {self.fix}."


class InvalidSettingError(ProvisionerError):
    """A setting, name, URI or reference is malformed or empty."""


class NotOfferedError(InvalidSettingError):
    """The store has no keys of that algorithm."""


class BackendMissingError(ProvisionerError):
    """The library or module a back end needs is not installed."""


class BackendUnavailableError(ProvisionerError):
    """A store could not be asked (down, sealed, refused the login): nothing is known about the key."""


class KeyMissingError(ProvisionerError):
    """The store answered, and the key is not there."""


class KeyAlteredError(ProvisionerError):
    """The key in the store is not the one that was recorded."""


class KeyConflictError(ProvisionerError):
    """A key that is not ours, or a second one, stands under the name that was claimed."""


class KeyRefusedError(ProvisionerError):
    """The operation is not allowed for this key (purpose, state, evidence or protection)."""


class ShareRefusedError(ProvisionerError):
    """A share of an escrow is malformed, altered, foreign, repeated or cannot be opened, or there are too few.

    ``fields`` name the set and, where one share is to blame, its index; too few say how many are missing.
    """


class EnvelopeRefusedError(ProvisionerError):
    """An escrow envelope is malformed, altered, or not that of the key at hand."""
