"""What a deployment tells its verifier: keys by URI and public half, where policy and log lie, who may ask. No secret.

The verifier in AWS reads this document from S3, `keyrung serve` a file of the same members and some more.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from keyrung_verifier.errors import ConfigurationError, StrictFormError
from keyrung_verifier.strict import parse_object

# The object in S3 that holds it.
OBJECT_NAME = "deployment.json"
# A generation of a key has about 600 bytes; this is room for a few hundred.
MAX_DOCUMENT_BYTES = 256 * 1024
_MAX_DEPTH = 6

Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Moment = Annotated[datetime, Meta(tz=True)]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: immutable, and a misspelt member is an error."""


class _Generation(Record, frozen=True):
    """One generation of a provisioned key."""

    uri: Text
    generation: int
    state: Text
    use_not_before: Moment


class SealingKey(_Generation, frozen=True):
    """Of a symmetric key."""


class SigningKey(_Generation, frozen=True):
    """Of a signing key, with its public half."""

    thumbprint: Text
    jwk: dict[str, str]


class Policy(Record, frozen=True):
    """Where the signed bundle lies, and the public keys whose signature counts, by thumbprint."""

    bundle: Text
    keys: dict[str, dict[str, str]]


class Archive(Record, frozen=True):
    """The bucket of the audit log's archive, and the public keys that sign its checkpoints."""

    archive: Text
    keys: list[dict[str, str]]


class Application(Record, frozen=True):
    """An application that may ask for decisions; its assertions name ``audience``."""

    client_id: Text
    audience: Text
    principal_arn: Text


class Keys(Record, frozen=True):
    """Every generation of each key, oldest first; of several active ones the clock says which is used."""

    assertion_keys: Annotated[list[SigningKey], Meta(min_length=1)]
    audit_keys: Annotated[list[SigningKey], Meta(min_length=1)]
    seed_keys: Annotated[list[SealingKey], Meta(min_length=1)]


class Deployment(Keys, frozen=True):
    """A deployment in AWS.

    Attributes:
        issuer: Public https URL of the verifier.
        store: `dynamodb:table=TABLE;region=REGION;shards=COUNT`.
        policy: The bundle lies at `s3://BUCKET/KEY`.
    """

    issuer: Text
    store: Text
    policy: Policy
    audit: Archive
    clients: Annotated[list[Application], Meta(min_length=1)]


def parse_deployment(data: bytes) -> Deployment:
    """Return the deployment in a document.

    Raises:
        ConfigurationError: It is not strict JSON of this shape; the sentence names the member.
    """
    try:
        members = parse_object(data, max_bytes=MAX_DOCUMENT_BYTES, max_depth=_MAX_DEPTH)
        return msgspec.convert(members, Deployment)
    except (StrictFormError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"the deployment document is not valid ({error}); run `pulumi up`") from error
