"""The typed policy: what a bundle carries, what a request asks, what a decision says.

Structs are decoded from signed bundles only; YAML goes through `decode` instead, where every mistake has a
place. Conditions are a small closed tree without code, so that a later analysis can translate every
one of them. Lists that mean sets are kept sorted, which makes the canonical form independent of the
order in which an author wrote things.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, get_args

from msgspec import Meta, Struct

# Largest integer every JSON reader keeps exactly (RFC 8785 section 3.2.2.3, RFC 7493 section 2.2).
MAX_INTEGER = 2**53 - 1
# A day: SP 800-63B-4 section 2.2.3 asks for a new authentication within 24 hours at AAL2.
MAX_AGE_SECONDS = 24 * 60 * 60
# Longest action name that is looked up at all; names in real APIs stay far below.
MAX_ACTION_CHARS = 128
# Longest text an attribute may hold unless its declaration says otherwise, and the most it may say.
DEFAULT_TEXT_CHARS = 256
MAX_TEXT_CHARS = 4096
MINUTES_PER_DAY = 24 * 60
# Most levels of a policy: frameworks name three or four, and every pair must be compared.
MAX_LEVELS = 64
# Most items a list-valued attribute may hold, and what it may hold unless its declaration says otherwise.
MAX_SET_ITEMS = 1024
DEFAULT_SET_ITEMS = 64
# Most requests that one step-up may pay for; a longer job is a service's, not a person's.
MAX_BATCH_COUNT = 1000
# Depth of any/all/not; a reviewer cannot follow more, and recursion stays bounded.
MAX_CONDITION_DEPTH = 16

SLUG_PATTERN = r"\A[a-z][a-z0-9]*(-[a-z0-9]+)*\Z"
ATTRIBUTE_PATTERN = r"\A(subject|resource|action|context|signal)(\.[A-Za-z][A-Za-z0-9_]*)+\Z"
# What a request asks for and what a rule names: a name, or in a rule a whole-segment star at the end, which the index
# by action finds without a scan.
ACTION_NAME_PATTERN = r"\A[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z"
ACTION_PATTERN = r"\A(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)\Z"
# acr values travel space-separated inside a quoted header parameter (RFC 9470 section 3).
ACR_PATTERN = r"\A[A-Za-z0-9][A-Za-z0-9._:/-]*\Z"

Slug: TypeAlias = Annotated[str, Meta(pattern=SLUG_PATTERN, max_length=64)]
AttributeName: TypeAlias = Annotated[str, Meta(pattern=ATTRIBUTE_PATTERN, max_length=128)]
ActionPattern: TypeAlias = Annotated[str, Meta(pattern=ACTION_PATTERN, max_length=MAX_ACTION_CHARS)]
Acr: TypeAlias = Annotated[str, Meta(pattern=ACR_PATTERN, max_length=128)]
Integer: TypeAlias = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
MinuteOfDay: TypeAlias = Annotated[int, Meta(ge=0, lt=MINUTES_PER_DAY)]
Audit: TypeAlias = Literal["value", "hash", "omit"]
Factor: TypeAlias = Literal[
    "otp",
    "urn:keyrung:possession",
    "webauthn-uv",
    "webauthn-uv-attested",
    "token-signature-origin-bound",
    "token-signature-attested",
]
Binding: TypeAlias = Literal["method", "uri", "body"]
Trigger: TypeAlias = Literal["risk", "resource", "compliance"]
Ordering: TypeAlias = Literal["gt", "gte", "lt", "lte"]
Outcome: TypeAlias = Literal["allow", "step_up", "deny"]
Value: TypeAlias = str | int | bool | tuple[str, ...]

AUDITS: tuple[Audit, ...] = ("value", "hash", "omit")
FACTORS: tuple[Factor, ...] = get_args(Factor)
# What the verifier of this version can check.
SERVED_FACTORS: tuple[Factor, ...] = (
    "otp",
    "urn:keyrung:possession",
    "token-signature-origin-bound",
    "token-signature-attested",
)
BINDINGS: tuple[Binding, ...] = ("method", "uri", "body")
TRIGGERS: tuple[Trigger, ...] = ("risk", "resource", "compliance")
OUTCOMES: tuple[Outcome, ...] = ("allow", "step_up", "deny")
ORDERINGS: tuple[Ordering, ...] = ("gt", "gte", "lt", "lte")


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything inside a bundle: immutable, and no unknown member passes."""


class TextAttribute(Record, frozen=True, kw_only=True, tag="text", tag_field="type"):
    """Free text; longer values than `max_length` characters are refused at evaluation."""

    audit: Audit
    max_length: Annotated[int, Meta(ge=1, le=MAX_TEXT_CHARS)]


class IntegerAttribute(Record, frozen=True, kw_only=True, tag="integer", tag_field="type"):
    """A whole number within `min` and `max`, both included."""

    audit: Audit
    min: Integer
    max: Integer


class BooleanAttribute(Record, frozen=True, kw_only=True, tag="boolean", tag_field="type"):
    """True or false."""

    audit: Audit


class EnumAttribute(Record, frozen=True, kw_only=True, tag="enum", tag_field="type"):
    """One of the declared texts."""

    audit: Audit
    values: Annotated[tuple[str, ...], Meta(min_length=1)]


class IpAttribute(Record, frozen=True, kw_only=True, tag="ip", tag_field="type"):
    """An IPv4 or IPv6 address as text."""

    audit: Audit


class SetAttribute(Record, frozen=True, kw_only=True, tag="set", tag_field="type"):
    """A list of texts whose order means nothing: of the declared ones, or of any where `values` is None."""

    audit: Audit
    values: Annotated[tuple[str, ...], Meta(min_length=1)] | None
    min_items: Annotated[int, Meta(ge=0, le=MAX_SET_ITEMS)]
    max_items: Annotated[int, Meta(ge=1, le=MAX_SET_ITEMS)]


Attribute: TypeAlias = TextAttribute | IntegerAttribute | BooleanAttribute | EnumAttribute | IpAttribute | SetAttribute


class Equals(Record, frozen=True, kw_only=True, tag="eq", tag_field="op"):
    """The attribute has exactly this value."""

    attribute: AttributeName
    value: str | Integer | bool


class OneOf(Record, frozen=True, kw_only=True, tag="in", tag_field="op"):
    """The attribute has one of these values."""

    attribute: AttributeName
    values: Annotated[tuple[str | Integer, ...], Meta(min_length=1)]


class Ordered(Record, frozen=True, kw_only=True, tag="order", tag_field="op"):
    """The integer attribute is above or below a bound."""

    attribute: AttributeName
    ordering: Ordering
    bound: Integer


class Glob(Record, frozen=True, kw_only=True, tag="glob", tag_field="op"):
    """The text attribute fits a pattern in which `*` stands for any run of characters, the empty one included."""

    attribute: AttributeName
    pattern: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]


class Cidr(Record, frozen=True, kw_only=True, tag="cidr", tag_field="op"):
    """The ip attribute lies in one of these networks."""

    attribute: AttributeName
    networks: Annotated[tuple[str, ...], Meta(min_length=1)]


class Has(Record, frozen=True, kw_only=True, tag="has", tag_field="op"):
    """The set attribute has this item."""

    attribute: AttributeName
    value: str


class TimeWindow(Record, frozen=True, kw_only=True, tag="time", tag_field="op"):
    """The time of day in UTC lies in [start, end); a start after the end runs over midnight."""

    start_minute: MinuteOfDay
    end_minute: MinuteOfDay


class All(Record, frozen=True, kw_only=True, tag="all", tag_field="op"):
    """Every part holds."""

    parts: Annotated[tuple["Condition", ...], Meta(min_length=1)]


class Any(Record, frozen=True, kw_only=True, tag="any", tag_field="op"):
    """At least one part holds."""

    parts: Annotated[tuple["Condition", ...], Meta(min_length=1)]


class Not(Record, frozen=True, kw_only=True, tag="not", tag_field="op"):
    """The part does not hold."""

    part: "Condition"


AttributeTest: TypeAlias = Equals | OneOf | Ordered | Glob | Cidr | Has
Condition: TypeAlias = Equals | OneOf | Ordered | Glob | Cidr | Has | TimeWindow | All | Any | Not


class Level(Record, frozen=True, kw_only=True):
    """A place in the partial order of assurance: the acr it is told by and the factors that reach it."""

    acr: Acr
    any_of: Annotated[tuple[Annotated[tuple[Factor, ...], Meta(min_length=1)], ...], Meta(min_length=1)]
    above: tuple[Slug, ...]


class Allow(Record, frozen=True, kw_only=True, tag="allow", tag_field="effect"):
    """The request passes as it is."""


class Deny(Record, frozen=True, kw_only=True, tag="deny", tag_field="effect"):
    """The request is refused, whatever other rules say."""


class Batch(Record, frozen=True, kw_only=True):
    """One step-up pays for at most `count` requests, all within `within_seconds` after it."""

    count: Annotated[int, Meta(ge=2, le=MAX_BATCH_COUNT)]
    within_seconds: Annotated[int, Meta(ge=1, le=MAX_AGE_SECONDS)]


class Require(Record, frozen=True, kw_only=True, tag="require", tag_field="effect"):
    """The request passes after a step-up of this level that is not older than `max_age_seconds`."""

    level: Slug
    max_age_seconds: Annotated[int, Meta(ge=0, le=MAX_AGE_SECONDS)]
    bind: tuple[Binding, ...]
    single_use: bool
    batch: Batch | None
    display: str | None


Effect: TypeAlias = Allow | Deny | Require


class Rule(Record, frozen=True, kw_only=True):
    """One rule: for these actions, when the condition holds, this effect."""

    trigger: Trigger | None
    actions: Annotated[tuple[ActionPattern, ...], Meta(min_length=1)]
    when: Condition | None
    then: Effect


class Document(Record, frozen=True, kw_only=True):
    """A whole policy as it is hashed, signed and shipped; what no rule allows is denied."""

    keyrung: Literal["policy/v1"]
    attributes: dict[AttributeName, Attribute]
    levels: Annotated[dict[Slug, Level], Meta(max_length=MAX_LEVELS)]
    rules: Annotated[dict[Slug, Rule], Meta(min_length=1)]


class Request(Struct, frozen=True, kw_only=True):
    """What somebody wants to do; attribute names carry their group, as in `resource.amount_minor`."""

    action: str
    attributes: Mapping[str, Value]


class Requirement(Struct, frozen=True, kw_only=True):
    """What a step-up must reach.

    `acr_values` and `any_of` name the level first and then every level above it, because each of them
    is good enough. `display` is filled and escaped. At most one of `single_use` and `batch` limits how often it pays.
    """

    level: str
    acr: str
    acr_values: tuple[str, ...]
    any_of: tuple[tuple[str, ...], ...]
    max_age_seconds: int
    bind: tuple[Binding, ...]
    display: str | None
    single_use: bool = True
    batch: Batch | None = None


class Decision(Struct, frozen=True, kw_only=True):
    """The answer; each reason is `code: sentence`, and the codes are stable."""

    outcome: Outcome
    requirement: Requirement | None
    rule_ids: tuple[str, ...]
    reasons: tuple[str, ...]
