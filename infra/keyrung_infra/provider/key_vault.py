"""Resource `KeyVault`: a place for keys. A Transit mount or a folder is created, all else is proven to be there."""

from collections.abc import Mapping
from typing import ClassVar

from keyrung_infra.errors import InfraError
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.model import Change, Changes, Failure, Imported, OnChange, Property, Values
from keyrung_infra.provider.values import UNKNOWN
from keyrung_provisioners.api import VaultDescription
from keyrung_provisioners.errors import InvalidSettingError
from keyrung_provisioners.uri import VaultUri


class KeyVault:
    """Vaults by URI: `pkcs11:token=LABEL`, `transit:mount=NAME`, `awskms:region=REGION`, `software:folder=NAME`."""

    token: ClassVar[str] = "keyrung:index:KeyVault"  # noqa: S105 - a Pulumi type token
    description: ClassVar[str] = "A place that holds keys: a token, a Transit mount, a region of AWS KMS, a folder."
    inputs: ClassVar[Mapping[str, Property]] = {
        "uri": Property(
            type="string",
            description="pkcs11:token=LABEL, transit:mount=NAME, awskms:region=REGION or software:folder=NAME.",
            on_change=OnChange.REPLACE,
        ),
    }
    outputs: ClassVar[Mapping[str, Property]] = {
        "created": Property(type="boolean", description="Whether this resource made the vault (and removes it)."),
        "evidence": Property(type="object", description="What the store says about the vault."),
    }

    def __init__(self, backends: Backends) -> None:
        """Use the stores of ``backends``."""
        self._backends = backends

    def check(self, inputs: Values) -> list[Failure]:
        """See `ResourceType.check`."""
        if inputs["uri"] is UNKNOWN:
            return []
        try:
            VaultUri.parse(str(inputs["uri"]))
        except InvalidSettingError as error:
            return [Failure(property="uri", reason=str(error))]
        return []

    def drift(self, state: Values, inputs: Values) -> Mapping[str, Change]:
        """See `ResourceType.drift`."""
        return {}

    def guard(self, state: Values, inputs: Values, changes: Changes) -> None:
        """See `ResourceType.guard`; removal itself refuses a vault that still holds keys."""

    def planned(self, inputs: Values, state: Values | None) -> Values:
        """See `ResourceType.planned`."""
        return {}

    def advice(self, inputs: Values, state: Values | None) -> list[str]:
        """See `ResourceType.advice`."""
        return []

    def create(self, urn: str, inputs: Values) -> tuple[str, Values]:
        """See `ResourceType.create`."""
        vault = VaultUri.parse(str(inputs["uri"]))
        found = self._backends.manager(vault.scheme).ensure_vault(vault, owner=urn)
        return str(vault), _outputs(found)

    def read(self, urn: str, resource_id: str, state: Values) -> Values:
        """See `ResourceType.read`."""
        vault = VaultUri.parse(resource_id)
        found = _outputs(self._backends.manager(vault.scheme).describe_vault(vault))
        return {**found, "created": state["created"]}

    def adopt(self, urn: str, resource_id: str) -> Imported:
        """See `ResourceType.adopt`; an imported vault is never removed."""
        vault = VaultUri.parse(resource_id)
        found = self._backends.manager(vault.scheme).describe_vault(vault)
        return Imported(resource_id=str(vault), inputs={"uri": str(vault)}, outputs=_outputs(found))

    def update(self, urn: str, state: Values, inputs: Values) -> Values:
        """See `ResourceType.update`; the one input is replace-only."""
        raise InfraError("a vault cannot be changed in place", fix="declare another vault")

    def delete(self, urn: str, state: Values) -> None:
        """See `ResourceType.delete`."""
        vault = VaultUri.parse(str(state["uri"]))
        if state["created"]:
            self._backends.manager(vault.scheme).remove_vault(vault)


def _outputs(found: VaultDescription) -> Values:
    return {"created": found.created, "evidence": dict(found.attributes)}
