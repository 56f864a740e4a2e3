"""Resource `Custodian`: who holds a share of escrows, by a public recipient. It holds no secret and makes nothing."""

from collections.abc import Mapping
from typing import ClassVar

from keyrung_infra.errors import InfraError
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.model import Change, Changes, Failure, Imported, Property, Values
from keyrung_infra.provider.values import UNKNOWN
from keyrung_provisioners.errors import ProvisionerError
from keyrung_provisioners.escrow.recipients import parse_recipient


class Custodian:
    """A person, or a key in another store, that one share of an escrow is sealed to."""

    token: ClassVar[str] = "keyrung:index:Custodian"  # noqa: S105 - a Pulumi type token
    description: ClassVar[str] = "Who holds a share of escrows, by a public recipient; no secret."
    inputs: ClassVar[Mapping[str, Property]] = {
        "name": Property(type="string", description="Who it is, for people."),
        "recipient": Property(
            type="string",
            description="What `keyrung custodian keygen` printed, an age recipient (age1...) or the URI of a kek key.",
        ),
    }
    outputs: ClassVar[Mapping[str, Property]] = {}

    def __init__(self, backends: Backends) -> None:
        """Take ``backends`` as every type does; a declaration asks no store."""

    def check(self, inputs: Values) -> list[Failure]:
        """Return whether the recipient is mistyped; its text carries a check of its own."""
        if inputs["name"] == "":
            return [Failure(property="name", reason="name is empty; say who holds the share")]
        if inputs["recipient"] is UNKNOWN:
            return []
        try:
            parse_recipient(str(inputs["recipient"]))
        except ProvisionerError as error:
            return [Failure(property="recipient", reason=str(error))]
        return []

    def drift(self, state: Values, inputs: Values) -> Mapping[str, Change]:
        """See `ResourceType.drift`."""
        return {}

    def guard(self, state: Values, inputs: Values, changes: Changes) -> None:
        """See `ResourceType.guard`; a key that is sealed to the old recipient refuses for itself."""

    def planned(self, inputs: Values, state: Values | None) -> Values:
        """See `ResourceType.planned`."""
        return {}

    def advice(self, inputs: Values, state: Values | None) -> list[str]:
        """See `ResourceType.advice`."""
        return []

    def create(self, urn: str, inputs: Values) -> tuple[str, Values]:
        """See `ResourceType.create`."""
        return str(inputs["recipient"]), {}

    def read(self, urn: str, resource_id: str, state: Values) -> Values:
        """See `ResourceType.read`."""
        return {}

    def adopt(self, urn: str, resource_id: str) -> Imported:
        """Take over a custodian; the id is ``NAME@RECIPIENT``."""
        name, _, recipient = resource_id.partition("@")
        inputs: Values = {"name": name, "recipient": recipient}
        for failure in self.check(inputs):
            raise InfraError(failure.reason, fix="write the id as NAME@RECIPIENT")
        return Imported(resource_id=recipient, inputs=inputs, outputs={})

    def update(self, urn: str, state: Values, inputs: Values) -> Values:
        """See `ResourceType.update`."""
        return {}

    def delete(self, urn: str, state: Values) -> None:
        """See `ResourceType.delete`; the shares that are sealed to it stay in their envelopes."""
