"""Resource `Key`: a line of generations in a vault, each claimed before it is made, proven by what its store says."""

from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import ClassVar

from keyrung_infra.errors import InfraError
from keyrung_infra.key_algorithms import algorithm_refusal
from keyrung_infra.provider import key_escrow, key_source
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.key_cryptoperiod import CRYPTOPERIOD_DAYS, overdue_advice, timed
from keyrung_infra.provider.key_line import (
    copy_failures,
    declared_line,
    due_now,
    outputs,
    rotation_advice,
    stages,
    whole_number,
)
from keyrung_infra.provider.model import Change, Changes, Failure, Imported, OnChange, Property, Values
from keyrung_infra.provider.values import UNKNOWN, Plain
from keyrung_provisioners.algorithms import ALGORITHMS
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.checks import check_identity
from keyrung_provisioners.errors import InvalidSettingError, KeyMissingError, ProvisionerError
from keyrung_provisioners.generations import (
    OVERLAP_SECONDS,
    PUBLISH_SECONDS,
    bring_up_to_date,
    check_generation,
    retire_line,
)
from keyrung_provisioners.inventory import KeyRow
from keyrung_provisioners.portability import check_copy
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri, VaultUri

_PURPOSES = tuple(purpose.value for purpose in Purpose if purpose is not Purpose.USER_CREDENTIAL)  # a person's key
_HOLDER_BYTES = 8  # tells two holders of one key apart; it is no secret
_UNPROTECT = (  # the provider cannot know where a program takes the input from
    "first `pulumi up` with deletionProtection: false (Keyrung's own program takes it from `pulumi config set"
    " protectKeys false`), then repeat this"
)


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
            description="Raise it by one to rotate: the new key is published first, used later, and the old one ends.",
            default=1,
        ),
        "publishSeconds": Property(
            type="integer",
            description="Seconds from publishing a new generation to its first use; no cache of keys may live longer.",
            default=PUBLISH_SECONDS,
        ),
        "overlapSeconds": Property(
            type="integer",
            description="Seconds from deactivating a generation to destroying it; what it signed is over by then.",
            default=OVERLAP_SECONDS,
        ),
        "escrow": key_escrow.PLAN,
        "copyTo": Property(
            type="string",
            description="URI of a copy in another store: the key is made portable, copied wrapped, and used only then.",
            optional=True,
            on_change=OnChange.REPLACE,
        ),
        "source": key_source.SOURCE,
        "cryptoperiodDays": CRYPTOPERIOD_DAYS,
        "deletionProtection": Property(
            type="boolean", description="Whether deleting or replacing the key is refused.", default=True
        ),
    }
    outputs: ClassVar[Mapping[str, Property]] = {
        "uri": Property(type="string", description="URI of the newest generation."),
        "thumbprint": Property(
            type="string", description="RFC 7638 thumbprint; for a symmetric key a check value made by the store."
        ),
        "publicKeyPem": Property(type="string", description="Public half (PEM); empty for a symmetric key."),
        "state": Property(type="string", description="SP 800-57 state."),
        "evidence": Property(type="object", description="Protective attributes as the store reported them."),
        "generations": Property(
            type="array",
            items="object",
            description="Every generation, oldest first, the destroyed ones too: generation, uri, thumbprint,"
            " publicKeyPem, state, stateSince, useNotBefore.",
        ),
        "envelope": key_escrow.ENVELOPE,
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
            uri = _uri(inputs)
        except InvalidSettingError as error:
            return [Failure(property="name", reason=str(error))]
        failures += copy_failures(inputs) + key_source.failures(uri, inputs)
        purpose, algorithm = inputs["purpose"], inputs["algorithm"]
        if UNKNOWN not in (purpose, algorithm):
            refusal = algorithm_refusal(Purpose(str(purpose)), str(algorithm))
            if refusal is not None:
                failures.append(Failure(property="algorithm", reason=refusal))
        for name, least in (("generation", 1), ("publishSeconds", 0), ("overlapSeconds", 0), ("cryptoperiodDays", 1)):
            value = inputs.get(name)
            if isinstance(value, int) and value < least:
                failures.append(Failure(property=name, reason=f"{name} starts at {least}"))
        failures += key_escrow.failures(uri, inputs)
        return failures

    def drift(self, state: Values, inputs: Values) -> Mapping[str, Change]:
        """Report generations that are due for their next state; a key that differs fails the refresh instead."""
        due = due_now(state, inputs, self._backends.now())
        return {"generations": Change(kind=OnChange.UPDATE, input=False)} if due else {}

    def guard(self, state: Values, inputs: Values, changes: Changes) -> None:
        """Refuse a generation that cannot follow, to replace a protected key, or any under the generation it had."""
        if not changes.replaces:
            key_source.guard(state, inputs)
            if inputs["generation"] is not UNKNOWN:
                due = due_now(state, inputs, self._backends.now())
                check_generation(stages(state), whole_number(inputs, "generation"), due)
            return
        what = ", ".join(changes.replaces)
        if state["deletionProtection"]:
            raise InfraError(
                f"changing {what} would replace {state['uri']}, which is protected",
                fix=_UNPROTECT,
                uri=str(state["uri"]),
            )
        if inputs["generation"] is not UNKNOWN and whole_number(inputs, "generation") <= whole_number(
            state, "generation"
        ):
            raise InfraError(
                f"changing {what} would make another key under generation {inputs['generation']}, which is over",
                fix=f"raise `generation` to {whole_number(state, 'generation') + 1} together with it",
                uri=str(state["uri"]),
            )

    def planned(self, inputs: Values, state: Values | None) -> Values:
        """See `ResourceType.planned`: the URI follows from the declaration, and so does what an update leaves alone."""
        escrow: dict[str, Plain] = {} if inputs.get("escrow") is not None else {"envelope": None}
        if state is None:
            uri = _uri(inputs)
            return escrow if uri is None else {"uri": str(uri), **escrow}
        key_escrow.guard_change(state, inputs, self._backends)
        if inputs["generation"] != state["generation"]:
            return {"holder": state["holder"], **escrow}
        due = due_now(state, inputs, self._backends.now())
        unsure = {"generations": bool(due), "envelope": inputs.get("escrow") != state.get("escrow")}
        return {name: state.get(name) for name in self.outputs if not unsure.get(name)}

    def advice(self, inputs: Values, state: Values | None) -> list[str]:
        """Say what escrowing a signing key means, what a rotation does now, and when the next `up` has work."""
        if state is None:
            return key_escrow.advice(inputs)
        rotates = inputs["generation"] != state["generation"]
        return rotation_advice(self._as_recorded(state) if rotates else state, inputs, self._backends.now())

    def create(self, urn: str, inputs: Values) -> tuple[str, Values]:
        """See `ResourceType.create`."""
        line, holder = declared_line(urn, inputs), _new_holder()
        manager = self._backends.manager(line.uri.scheme)
        keeper = key_escrow.sealing_keeper(inputs.get("escrow"), line.uri.vault_uri, self._backends)
        rows = bring_up_to_date(self._backends.provisioner(keeper), line, manager, holder=holder)
        rows = timed(rows, inputs, self._backends.inventory())
        return str(line.uri), self._outputs(rows, holder, inputs.get("escrow"))

    def read(self, urn: str, resource_id: str, state: Values) -> Values:
        """Return the outputs if each living generation is exactly the recorded one; else fail, naming thumbprints."""
        rows = self._recorded(urn, state)
        recorded = next(row for row in rows if row.claim.generation == state["generation"])
        if recorded.fingerprint != state["thumbprint"]:
            raise KeyMissingError(
                f"for {recorded.claim.uri} the state names {state['thumbprint']} and the inventory"
                f" {recorded.fingerprint}",
                fix="restore the inventory that belongs to this state",
                uri=str(recorded.claim.uri),
            )
        for row in rows:
            if row.state is not KeyState.DESTROYED and row.fingerprint is not None:
                check_identity(row, self._backends.manager(row.claim.uri.scheme))
                if row.claim.copy_to is not None:
                    check_copy(row, self._backends.manager(row.claim.copy_to.scheme))
        return self._outputs(rows, str(state["holder"]), state.get("escrow"))

    def adopt(self, urn: str, resource_id: str) -> Imported:
        """Take over an existing key; the id is ``PURPOSE@URI``, or ``PURPOSE@URI@ARN`` for what stays another's."""
        purpose, _, text = resource_id.partition("@")
        text, _, source = text.partition("@")
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
            "publishSeconds": PUBLISH_SECONDS,
            "overlapSeconds": OVERLAP_SECONDS,
            "deletionProtection": True,
        }
        plan = key_escrow.recorded_plan(uri, self._backends)
        if plan is not None:
            inputs = {**inputs, "escrow": plan}
        if source:
            inputs = {**inputs, "source": source}
        for failure in self.check(inputs):  # before anything is claimed
            raise InfraError(failure.reason, fix="choose the purpose that this key can serve", uri=str(uri))
        holder, provisioner = _new_holder(), self._backends.provisioner()
        if source:
            rows = bring_up_to_date(provisioner, declared_line(urn, inputs), manager, holder=holder)
        else:
            rows = [provisioner.take_over(urn, uri, Purpose(purpose), manager, holder=holder)]
        return Imported(resource_id=str(uri), inputs=inputs, outputs=self._outputs(rows, holder, plan))

    def update(self, urn: str, state: Values, inputs: Values) -> Values:
        """Begin a rotation, do what is due, follow the custodians; all else lives in the state and needs no store."""
        key_escrow.guard_change(state, inputs, self._backends)
        plan, holder = inputs.get("escrow"), str(state["holder"])
        key_escrow.follow(self._recorded(urn, state), state.get("escrow"), plan, self._backends)
        rotates = inputs["generation"] != state["generation"]
        if not rotates and not due_now(state, inputs, self._backends.now()):
            rows = timed(self._recorded(urn, state), inputs, self._backends.inventory())
            return self._outputs(rows, holder, plan)
        line = declared_line(urn, inputs)
        published = [each.generation for each in stages(state)]
        manager = self._backends.manager(line.uri.scheme)
        provisioner = self._backends.provisioner(key_escrow.sealing_keeper(plan, line.uri.vault_uri, self._backends))
        rows = bring_up_to_date(provisioner, line, manager, published=published, holder=holder)
        return self._outputs(timed(rows, inputs, self._backends.inventory()), holder, plan)

    def overdue(self, state: Values, inputs: Values) -> list[str]:
        """Warn of a generation whose cryptoperiod is nearly over, or over, and of a compromised one."""
        return overdue_advice(state, inputs, self._backends.now())

    def delete(self, urn: str, state: Values) -> None:
        """Destroy every living generation, unless the key is protected."""
        if state["deletionProtection"]:
            raise InfraError(f"{state['uri']} is protected", fix=_UNPROTECT, uri=str(state["uri"]))
        manager = self._backends.manager(KeyUri.parse(str(state["uri"])).scheme)
        provisioner = self._backends.provisioner(key_escrow.keeper(state.get("escrow"), self._backends))
        retire_line(provisioner, urn, manager, holder=str(state["holder"]))

    def _outputs(self, rows: Sequence[KeyRow], holder: str, plan: Plain) -> Values:
        return {**outputs(rows, holder), **key_escrow.outputs(rows, plan, self._backends)}

    def _as_recorded(self, state: Values) -> Values:
        """Return the state with its generations as the inventory has them, where it can be read.

        `keyrung key compromise` ends a generation between two refreshes, and the rotation goes by the inventory.
        """
        try:
            inventory = self._backends.standing_inventory()
            row = inventory.find(KeyUri.parse(str(state["uri"])))
            line = [] if row is None else inventory.line(row.claim.owner)
        except (InfraError, ProvisionerError):  # advice stops nothing: what is wrong stops the update itself
            return state
        published = {each.generation for each in stages(state)}
        rows = [each for each in line if each.claim.generation in published]
        return {**state, **outputs(rows, str(state["holder"]))} if rows else state

    def _recorded(self, urn: str, state: Values) -> Sequence[KeyRow]:
        rows = self._backends.inventory().line(urn)
        if not any(row.claim.generation == state["generation"] for row in rows):
            raise KeyMissingError(
                f"the inventory has no claim for {state['uri']} (thumbprint {state['thumbprint']}, recorded: none)",
                fix="restore the inventory that belongs to this state",
                uri=str(state["uri"]),
            )
        return rows


def _uri(inputs: Values) -> KeyUri | None:
    vault, name = inputs["vault"], inputs["name"]
    if vault is UNKNOWN or name is UNKNOWN:
        return None
    uri = VaultUri.parse(str(vault)).key(str(name))
    generation = inputs["generation"]
    if inputs.get("source") is None:
        return uri
    return uri.of_generation(generation) if isinstance(generation, int) and generation > 0 else None


def _new_holder() -> str:
    return token_hex(_HOLDER_BYTES)
