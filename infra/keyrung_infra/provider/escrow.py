"""Resource `Escrow`: a quorum of custodians and a folder of envelopes, for any number of keys.

It makes nothing by itself. A key that names it is sealed while it is made: a key cannot be active before its escrow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from keyrung_infra.errors import InfraError
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.key_escrow import DEFAULT_FOLDER, plan_failures
from keyrung_infra.provider.model import Change, Changes, Failure, Imported, Property, Values
from keyrung_provisioners.escrow import envelope as envelopes


class Escrow:
    """Who holds shares, how many of them must come together, and where envelopes are kept."""

    token: ClassVar[str] = "keyrung:index:Escrow"  # noqa: S105 - a Pulumi type token
    description: ClassVar[str] = "A quorum of custodians and a folder of envelopes, for the keys that name it."
    inputs: ClassVar[Mapping[str, Property]] = {
        "threshold": Property(type="integer", description="How many custodians must come together; at least 2."),
        "custodians": Property(type="array", description="Recipients; a share is sealed to each."),
        "folder": Property(
            type="string", description="Where envelopes are kept, relative to the project.", default=DEFAULT_FOLDER
        ),
    }
    outputs: ClassVar[Mapping[str, Property]] = {}

    def __init__(self, backends: Backends) -> None:
        """Find envelopes below the project of ``backends``."""
        self._backends = backends

    def check(self, inputs: Values) -> list[Failure]:
        """See `ResourceType.check`."""
        return plan_failures(inputs)

    def drift(self, state: Values, inputs: Values) -> Mapping[str, Change]:
        """See `ResourceType.drift`."""
        return {}

    def guard(self, state: Values, inputs: Values, changes: Changes) -> None:
        """See `ResourceType.guard`; a key that is sealed to other custodians refuses for itself."""

    def planned(self, inputs: Values, state: Values | None) -> Values:
        """See `ResourceType.planned`."""
        return {}

    def advice(self, inputs: Values, state: Values | None) -> list[str]:
        """See `ResourceType.advice`."""
        return []

    def create(self, urn: str, inputs: Values) -> tuple[str, Values]:
        """See `ResourceType.create`."""
        return urn.rpartition("::")[2], {}

    def read(self, urn: str, resource_id: str, state: Values) -> Values:
        """See `ResourceType.read`."""
        return {}

    def adopt(self, urn: str, resource_id: str) -> Imported:
        """Take over the quorum of an existing envelope; the id is its path."""
        path = Path(resource_id)
        try:
            envelope = envelopes.decode((self._backends.root / path).read_bytes())
        except OSError as error:
            raise InfraError(f"there is no envelope {path}", fix="give the path of an escrow envelope") from error
        inputs: Values = {
            "threshold": envelope.threshold,
            "custodians": [share.recipient for share in envelope.shares],
            "folder": str(path.parent),
        }
        return Imported(resource_id=urn.rpartition("::")[2], inputs=inputs, outputs={})

    def update(self, urn: str, state: Values, inputs: Values) -> Values:
        """See `ResourceType.update`."""
        return {}

    def delete(self, urn: str, state: Values) -> None:
        """See `ResourceType.delete`; each key's envelope goes with its key."""
