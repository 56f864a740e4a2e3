"""The shapes of everything that enters and leaves over HTTP; the interface description is generated from them.

Unknown members are refused: a misspelt member would otherwise silently drop what a rule looks at.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from keyrung_policies.model import Batch, Binding
from keyrung_verifier.limits import MAX_DPOP_PROOF_CHARS, MAX_EVALUATIONS, MAX_ID_CHARS, MAX_URI_CHARS

# No control character anywhere: one identifier has one spelling on a terminal and in a log.
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS, pattern=r"^(?![\s\S]*[\x00-\x1f\x7f])")]
Digest = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$", max_length=43, description="base64url of SHA-256")]
EvaluationsSemantic: TypeAlias = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]
Seconds = Annotated[int, Meta(ge=0, description="Unix seconds")]


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all shapes."""


class Subject(Model, frozen=True):
    """Who asks (AuthZEN 1.0 section 5.1)."""

    type: Id
    id: Id
    properties: dict[str, Any] = field(default_factory=dict)


class Action(Model, frozen=True):
    """What is asked for (AuthZEN 1.0 section 5.3)."""

    name: Id
    properties: dict[str, Any] = field(default_factory=dict)


class Resource(Model, frozen=True):
    """What it is asked on (AuthZEN 1.0 section 5.2)."""

    type: Id
    id: Id
    properties: dict[str, Any] = field(default_factory=dict)


class Session(Model, frozen=True):
    """The subject's base session at the application; `dpop_jkt` is its key's RFC 7638 thumbprint, if it has one."""

    id: Id
    dpop_jkt: Digest | None = None


class HttpRequest(Model, frozen=True):
    """The request that is to be protected, as the application received it."""

    method: Annotated[str, Meta(min_length=1, max_length=32)]
    uri: Annotated[str, Meta(min_length=1, max_length=MAX_URI_CHARS)]
    body_sha256: Digest


class EvaluationRequest(Model, frozen=True):
    """An AuthZEN access evaluation request."""

    subject: Subject
    action: Action
    resource: Resource
    context: dict[str, Any] = field(default_factory=dict)


class EvaluationItem(Model, frozen=True):
    """One of several evaluations; what it leaves out is taken from the request around it."""

    subject: Subject | UnsetType = UNSET
    action: Action | UnsetType = UNSET
    resource: Resource | UnsetType = UNSET
    context: dict[str, Any] | UnsetType = UNSET


class EvaluationsOptions(Struct, frozen=True):
    """How several evaluations are gone through (AuthZEN 1.0 section 7.1.2); options of others are left alone."""

    evaluations_semantic: EvaluationsSemantic = "execute_all"


class EvaluationsRequest(EvaluationItem, frozen=True):
    """An AuthZEN access evaluations request: defaults, and the evaluations they are for."""

    evaluations: Annotated[list[EvaluationItem], Meta(max_length=MAX_EVALUATIONS)] = field(default_factory=list)
    options: EvaluationsOptions = EvaluationsOptions()


class EvaluationError(Model, frozen=True):
    """Why one of several evaluations could not be made (AuthZEN 1.0 section 7.2.1)."""

    status: int
    message: str


class EvaluationContext(Model, frozen=True, omit_defaults=True):
    """What stands beside the decision; `acr_values` to `challenge_endpoint` only for `step_up`.

    Attributes:
        max_age: How old the step-up may be, in seconds.
        bind: The parts of the HTTP request it must have been made for.
        single_use: Whether it pays for one request only; with neither this nor `batch`, it pays until it is too old.
        challenge_endpoint: Where to send this evaluation request, with the HTTP request added, to begin the step-up.
    """

    outcome: Literal["allow", "step_up", "deny"]
    rule_ids: list[str]
    policy_digest: str
    correlation_id: str
    acr_values: list[str] | UnsetType = UNSET
    max_age: int | UnsetType = UNSET
    bind: list[Binding] | UnsetType = UNSET
    single_use: bool | UnsetType = UNSET
    batch: Batch | UnsetType = UNSET
    challenge_endpoint: str | UnsetType = UNSET
    error: EvaluationError | UnsetType = UNSET


class EvaluationResponse(Model, frozen=True, omit_defaults=False):
    """An AuthZEN decision; a step-up is `decision: false`."""

    decision: bool
    context: EvaluationContext


class EvaluationsResponse(Model, frozen=True):
    """The decisions in the order of the request; fewer where one ended it."""

    evaluations: list[EvaluationResponse]


class ChallengeRequest(EvaluationRequest, frozen=True, kw_only=True):
    """An evaluation request and the HTTP request it is about; `context.session.id` is required."""

    request: HttpRequest


class ChallengeCreated(Model, frozen=True):
    """A challenge to hand to the subject; the id is a capability."""

    challenge_id: str
    stepup_uri: str
    expires_at: Seconds
    acr_values: list[str]


class OtpOffer(Model, frozen=True, tag="otp", tag_field="type"):
    """The subject may answer with a code of an authenticator app."""


class TokenSignatureOffer(Model, frozen=True, tag="token-signature-origin-bound", tag_field="type"):
    """The subject may answer with a signature of this key over this text (base64url)."""

    credential_id: str
    signing_input: str


class PastedSignatureOffer(Model, frozen=True, tag="urn:keyrung:possession", tag_field="type"):
    """The subject may answer with a signature of this key over this text (base64url), made with any tool."""

    credential_id: str
    signing_input: str


Offer: TypeAlias = OtpOffer | TokenSignatureOffer | PastedSignatureOffer


class ChallengeView(Model, frozen=True):
    """What the subject sees of a challenge; `dpop_required` says that an answer needs a proof of the session's key."""

    challenge_id: str
    display: str | None
    origin: str
    expires_at: Seconds
    factors: list[Offer]
    dpop_required: bool = False


class AnswerKept(Model, frozen=True):
    """The answer was right, and the challenge needs another one of these besides, before its time is over."""

    challenge_id: str
    expires_at: Seconds
    factors: list[Offer]


class AssertionIssued(Model, frozen=True, omit_defaults=False):
    """The step-up succeeded; `expires_in` is in seconds."""

    assertion: str
    expires_in: int
    acr: str
    token_type: Literal["stepup+jwt"] = "stepup+jwt"  # noqa: S105 - a type, not a secret


class DpopUse(Model, frozen=True):
    """The DPoP proof that came with a request, and base64url of SHA-256 over the access token beside it."""

    proof: Annotated[str, Meta(max_length=MAX_DPOP_PROOF_CHARS)]
    token_sha256: Digest


class SpendRequest(ChallengeRequest, frozen=True, kw_only=True):
    """A request as it was, or would be, put to the making of a challenge, and the assertion that is to pay for it.

    `dpop` is required where the session has a key.
    """

    assertion: str
    dpop: DpopUse | None = None


class AssertionSpent(Model, frozen=True):
    """The assertion was good and has paid for the request."""

    spent: bool
    sub: str
    acr: str
    auth_time: Seconds
    jti: str


class ErrorResponse(Model, frozen=True):
    """Every refusal."""

    error: str
    error_description: str
    correlation_id: str


class AuthzenConfiguration(Model, frozen=True):
    """The metadata of the decision point (AuthZEN 1.0 section 9)."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str


class JsonWebKeySet(Model, frozen=True):
    """The public keys that assertions verify with (RFC 7517 section 5)."""

    keys: list[dict[str, str]]


class Health(Model, frozen=True):
    """The verifier can decide now.

    Attributes:
        policy_digest: The policy that it decides by: `sha-256:` and base64url of the canonical document.
    """

    status: Literal["ok"]
    policy_digest: str
