"""The error family of the verifier: what the outside may hear, and what only the audit log learns.

A `RefusedError` carries an HTTP status, an error code and one generic sentence for the outside; `reason` is a short
code for the audit record and never leaves. The other classes are for the code that runs the verifier.
"""

from typing import ClassVar


class VerifierError(Exception):
    """Base of every error this package raises on purpose."""


class RefusedError(VerifierError):
    """A request is not served; each child is one answer that a client can see.

    Attributes:
        reason: Short internal code, for the audit record only.
        correlation_id: Names the call in the answer and in the audit log.
    """

    status: ClassVar[int] = 500
    error: ClassVar[str] = "server_error"
    description: ClassVar[str] = "The request could not be processed; try again later."
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(self, reason: str, *, correlation_id: str | None = None) -> None:
        self.reason = reason
        self.correlation_id = correlation_id
        super().__init__(f"{self.error} ({reason})")


class MalformedRequestError(RefusedError):
    """The request is not what the interface description asks for."""

    status = 400
    error = "invalid_request"
    description = "The request is malformed; see /openapi.json."


class CallerRefusedError(RefusedError):
    """The caller did not authenticate (RFC 6749 section 5.2)."""

    status = 401
    error = "invalid_client"
    description = "Client authentication failed; call as a registered client, with its secret or its IAM role."


class AccessDeniedError(RefusedError):
    """The policy denies the request, so no step-up can help."""

    status = 403
    error = "access_denied"
    description = "The policy denies this request."


class StepUpNotRequiredError(RefusedError):
    """The policy allows the request as it is, so there is nothing to challenge."""

    status = 409
    error = "step_up_not_required"
    description = "The policy allows this request without a step-up."


class UnmetRequirementError(RefusedError):
    """The subject holds no credential that reaches the required level (OpenID unmet_authentication_requirements)."""

    status = 403
    error = "unmet_authentication_requirements"
    description = "The required level cannot be reached with the subject's credentials; enrol one that reaches it."


class ChallengeRefusedError(RefusedError):
    """The one answer for a challenge that is unknown, expired, used or foreign, or whose answer is wrong."""

    status = 403
    error = "challenge_refused"
    description = "The challenge could not be answered; start again with a new one."


class AssertionRefusedError(RefusedError):
    """The one answer for an assertion that does not fit the request."""

    status = 403
    error = "assertion_refused"
    description = "The assertion is not valid for this request; ask for a new step-up."


class DpopRefusedError(RefusedError):
    """The proof of the client's key is missing or wrong (RFC 9449 section 5)."""

    status = 400
    error = "invalid_dpop_proof"
    description = "The DPoP proof is missing or not valid for this request; make a new one."


class DpopNonceError(RefusedError):
    """The proof of the client's key needs another nonce (RFC 9449 section 8)."""

    status = 400
    error = "use_dpop_nonce"
    description = "Make a new DPoP proof with the nonce in the DPoP-Nonce header."


class TicketRefusedError(RefusedError):
    """The one answer for an enrolment ticket that is unknown, expired, used or revoked."""

    status = 403
    error = "ticket_refused"
    description = "The enrolment link is not valid (any more); ask for a new one."


class NotFoundError(RefusedError):
    """There is no such path or method."""

    status = 404
    error = "not_found"
    description = "There is nothing here; see /openapi.json."


class UnavailableError(RefusedError):
    """The verifier can not decide now: its store, its keys or its policy are out of reach."""

    status = 503
    error = "temporarily_unavailable"
    description = "The verifier cannot answer now; try again later."
    retry_after_seconds = 2


class UnexpectedError(RefusedError):
    """Something that nobody foresaw; it denies like everything else."""


class AssertionInvalidError(VerifierError):
    """An assertion failed a check; `reason` is a short code such as `expired`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the assertion is refused ({reason}); ask for a new step-up")


class DpopInvalidError(VerifierError):
    """A DPoP proof failed a check; `reason` is a short code such as `method`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the DPoP proof is refused ({reason}); make a new one for this request")


class StrictFormError(VerifierError):
    """Bytes or text from outside break the strict form; `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the input is not in the strict form ({reason}); send canonical JSON types and base64url")


class WrongAnswerError(VerifierError):
    """An answer to a challenge is wrong; `reason` is a short code for the audit record."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the answer is wrong ({reason}); ask for a new challenge")


class ConfigurationError(VerifierError):
    """A setting makes no sense; the sentence names the fix."""


class CredentialError(VerifierError):
    """A credential cannot be added, found or revoked as asked; the sentence names the fix."""


class SigningFailedError(VerifierError):
    """The signing key gave no good signature."""


class StoreError(VerifierError):
    """Base of what the store reports."""


class StoreUnavailableError(StoreError):
    """The store cannot be read or written now; nothing of the unit was kept."""


class AuditUnsignedError(StoreError):
    """Too much of the audit log waits for a signature; nothing is recorded before its key is within reach again."""


class AuditTailError(StoreError):
    """The end of the audit log is not what was written last; appending would hide it.

    An operator has to look: run `keyrung audit verify`, then restore the log.
    """
