"""Resource `Key`: one key in a vault, claimed before it is made, proven by what the store answers."""

from collections.abc import Mapping
from secrets import token_hex
from typing import ClassVar

from keyrung_infra.errors import InfraError
from keyrung_infra.key_algorithms import algorithm_refusal
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.model import Change, Changes, Failure, Imported, OnChange, Property, Values
from keyrung_infra.provider.values import UNKNOWN
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import InvalidSettingError, KeyMissingError
from keyrung_provisioners.inventory import Claim, KeyRow
from keyrung_provisioners.provision import check_identity
from keyrung_provisioners.uri import KeyUri, VaultUri

_PURPOSES = tuple(purpose.value for purpose in Purpose if purpose is not Purpose.USER_CREDENTIAL)  # a person's key
_HOLDER_BYTES = 8  # tells two holders of one key apart; it is no secret
_UNPROTECT = "first `pulumi up` with deletionProtection: false, then repeat this"


class Key:
    """Keys by vault and name."""

    token: ClassVar[str] = "keyrung:index:Key"  # noqa: S105 - a Pulumi type token
    description: ClassVar[str] = "A key generated inside its vault; only its public half and evidence come out."
    inputs: ClassVar[Mapping[str, Property]] = {
        "vault": Property(type="string", description="URI of the vault.", on_change=OnChange.REPLACE),
        "name": Property(
            type="string", description="Object label or Transit name inside the vault.", on_change=OnChange.REPLACE
        ),
        "algorithm": Property(
            type="string",
            description="What kind of key.",
            choices=tuple(ALGORITHMS),
            default="P-256",
            on_change=OnChange.REPLACE,
        ),
        "purpose": Property(
            type="string",
            description="The one use of the key; fixed for its life.",
            choices=_PURPOSES,
            on_change=OnChange.REPLACE,
        ),
        "generation": Property(
            type="integer",
            description="Raise it to replace the key by a new one under the same declaration.",
            default=1,
            on_change=OnChange.REPLACE,
        ),
        "deletionProtection": Property(
            type="boolean", description="Whether deleting or replacing the key is refused.", default=True
        ),
    }
    outputs: ClassVar[Mapping[str, Property]] = {
        "uri": Property(type="string", description="The key's URI."),
        "thumbprint": Property(
            type="string", description="RFC 7638 thumbprint; for a symmetric key a check value made by the store."
        ),
        "publicKeyPem": Property(type="string", description="Public half (PEM); empty for a symmetric key."),
        "state": Property(type="string", description="SP 800-57 state."),
        "evidence": Property(type="object", description="Protective attributes as the store reported them."),
        "holder": Property(
            type="string", description="Names this resource as the one whose deletion may destroy the key."
        ),
    }

    def __init__(self, backends: Backends) -> None:
        """Use the stores of ``backends``."""
        self._backends = backends

    def check(self, inputs: Values) -> list[Failure]:
        """See `ResourceType.check`."""
        failures = []
        try:
            _uri(inputs)
        except InvalidSettingError as error:
            return [Failure(property="name", reason=str(error))]
        purpose, algorithm = inputs["purpose"], inputs["algorithm"]
        if UNKNOWN not in (purpose, algorithm):
            refusal = algorithm_refusal(Purpose(str(purpose)), str(algorithm))
            if refusal is not None:
                failures.append(Failure(property="algorithm", reason=refusal))
        generation = inputs["generation"]
        if isinstance(generation, int) and generation < 1:
            failures.append(Failure(property="generation", reason="generation starts at 1"))
        return failures

    def drift(self, state: Values, inputs: Values) -> Mapping[str, Change]:
        """See `ResourceType.drift`; a key that differs fails the refresh instead of drifting."""
        return {}

    def guard(self, state: Values, inputs: Values, changes: Changes) -> None:
        """Refuse to replace a protected key, and to replace any key under the generation it already had."""
        if not changes.replaces:
            return
        what = ", ".join(changes.replaces)
        if state["deletionProtection"]:
            raise InfraError(
                f"changing {what} would replace {state['uri']}, which is protected",
                fix=_UNPROTECT,
                uri=str(state["uri"]),
            )
        if inputs["generation"] is not UNKNOWN and _generation(inputs) <= _generation(state):
            raise InfraError(
                f"changing {what} would make another key under generation {inputs['generation']}, which is over",
                fix=f"raise `generation` to {_generation(state) + 1} together with it",
                uri=str(state["uri"]),
            )

    def planned(self, inputs: Values, state: Values | None) -> Values:
        """See `ResourceType.planned`: the URI follows from the declaration, and an update leaves the key as it is."""
        if state is not None:
            return {name: state[name] for name in self.outputs}
        uri = _uri(inputs)
        return {} if uri is None else {"uri": str(uri)}

    def advice(self, inputs: Values, state: Values | None) -> list[str]:
        """See `ResourceType.advice`."""
        return []

    def create(self, urn: str, inputs: Values) -> tuple[str, Values]:
        """See `ResourceType.create`."""
        claim, holder = _claim(urn, inputs), _new_holder()
        manager = self._backends.manager(claim.uri.scheme)
        row = self._backends.provisioner().provision(claim, manager, holder=holder)
        return str(claim.uri), _outputs(row, holder)

    def read(self, urn: str, resource_id: str, state: Values) -> Values:
        """Return the key's outputs if it is exactly the recorded one; else fail, naming both thumbprints."""
        row = self._recorded(urn, state)
        if row.fingerprint != state["thumbprint"]:
            raise KeyMissingError(
                f"for {row.claim.uri} the state names {state['thumbprint']} and the inventory {row.fingerprint}",
                fix="restore the inventory that belongs to this state",
                uri=str(row.claim.uri),
            )
        check_identity(row, self._backends.manager(row.claim.uri.scheme))
        return _outputs(row, str(state["holder"]))

    def adopt(self, urn: str, resource_id: str) -> Imported:
        """Take over an existing key; the id is ``PURPOSE@URI``."""
        purpose, _, text = resource_id.partition("@")
        if purpose not in _PURPOSES or not text:
            raise InfraError(
                "the id of an imported key says its purpose",
                fix="write it as PURPOSE@URI, such as audit-signing@transit:...",
            )
        uri = KeyUri.parse(text)
        manager = self._backends.manager(uri.scheme)
        inputs: Values = {
            "vault": str(uri.vault_uri),
            "name": uri.name,
            "algorithm": manager.describe(uri).algorithm,
            "purpose": purpose,
            "generation": 1,
            "deletionProtection": True,
        }
        for failure in self.check(inputs):  # before anything is claimed
            raise InfraError(failure.reason, fix="choose the purpose that this key can serve", uri=str(uri))
        holder = _new_holder()
        row = self._backends.provisioner().take_over(urn, uri, Purpose(purpose), manager, holder=holder)
        return Imported(resource_id=str(uri), inputs=inputs, outputs=_outputs(row, holder))

    def update(self, urn: str, state: Values, inputs: Values) -> Values:
        """See `ResourceType.update`: only the protection changes in place, and it lives in the state alone."""
        return _outputs(self._recorded(urn, state), str(state["holder"]))

    def delete(self, urn: str, state: Values) -> None:
        """Destroy the key, unless it is protected."""
        if state["deletionProtection"]:
            raise InfraError(f"{state['uri']} is protected", fix=_UNPROTECT, uri=str(state["uri"]))
        uri = KeyUri.parse(str(state["uri"]))
        manager = self._backends.manager(uri.scheme)
        self._backends.provisioner().retire(urn, _generation(state), manager, holder=str(state["holder"]))

    def _recorded(self, urn: str, state: Values) -> KeyRow:
        row = self._backends.inventory().row(urn, _generation(state))
        if row is None:
            raise KeyMissingError(
                f"the inventory has no claim for {state['uri']} (thumbprint {state['thumbprint']}, recorded: none)",
                fix="restore the inventory that belongs to this state",
                uri=str(state["uri"]),
            )
        return row


def _uri(inputs: Values) -> KeyUri | None:
    vault, name = inputs["vault"], inputs["name"]
    if vault is UNKNOWN or name is UNKNOWN:
        return None
    return VaultUri.parse(str(vault)).key(str(name))


def _claim(urn: str, inputs: Values) -> Claim:
    return Claim(
        owner=urn,
        generation=_generation(inputs),
        uri=VaultUri.parse(str(inputs["vault"])).key(str(inputs["name"])),
        algorithm=str(inputs["algorithm"]),
        purpose=Purpose(str(inputs["purpose"])),
    )


def _generation(values: Values) -> int:
    generation = values["generation"]
    if not isinstance(generation, int):
        raise InfraError("generation is not a whole number", fix="write it as 1, 2, 3")
    return generation


def _new_holder() -> str:
    return token_hex(_HOLDER_BYTES)


def _outputs(row: KeyRow, holder: str) -> Values:
    return {
        "holder": holder,
        "uri": str(row.claim.uri),
        "thumbprint": row.fingerprint,
        "publicKeyPem": row.public_key_pem or "",
        "state": row.state.value,
        "evidence": dict(row.evidence or {}),
    }
