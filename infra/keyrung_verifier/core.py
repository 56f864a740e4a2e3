"""What every operation works with, gathered once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import Struct

from keyrung_policies.model import Binding
from keyrung_verifier import assertion, models
from keyrung_verifier.audit_writer import AuditWriter
from keyrung_verifier.errors import MalformedRequestError, StrictFormError
from keyrung_verifier.generations import SigningLine
from keyrung_verifier.policy_source import PolicySource
from keyrung_verifier.protocols import Clock, Random, Sealer
from keyrung_verifier.settings import VerifierSettings
from keyrung_verifier.store.protocol import Credential, Store
from keyrung_verifier.strict import convert, parse_object

Model = TypeVar("Model", bound=Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The verifier's collaborators."""

    settings: VerifierSettings = field(repr=False)
    policy_source: PolicySource
    store: Store
    signers: SigningLine
    sealer: Sealer
    audit: AuditWriter
    clock: Clock
    random: Random

    def now_seconds(self) -> int:
        """Return the present second; fractions are dropped."""
        return math.floor(self.clock.now().timestamp())

    def living_credentials(self, subject_id: str) -> list[Credential]:
        """Return what the subject holds and is not revoked."""
        return [held for held in self.store.credentials(subject_id) if held.revoked_at_seconds is None]


def read_body(body: bytes, model: type[Model]) -> Model:
    """Return a request body as its model.

    Raises:
        MalformedRequestError: It is not strict JSON of this shape.
    """
    try:
        return convert(parse_object(body), model)
    except StrictFormError as error:
        raise MalformedRequestError(error.reason) from error


def digest_of(request: models.HttpRequest, bind: Sequence[Binding]) -> str:
    """Return the digest that stands for the bound parts of a request; raises `MalformedRequestError`."""
    return assertion.request_digest(request.method, request.uri, request.body_sha256, bind=bind)
