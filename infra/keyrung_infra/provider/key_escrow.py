"""What the resource `Key` does about escrow: the plan it is told, the envelope that follows, and what may change."""

import shlex
from collections.abc import Mapping, Sequence
from secrets import token_bytes
from typing import cast

from keyrung_infra.errors import InfraError
from keyrung_infra.escrow_folder import EscrowFolder
from keyrung_infra.project import STATE_FOLDER
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.model import Failure, Property, Values
from keyrung_infra.provider.values import UNKNOWN, Plain
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import ProvisionerError
from keyrung_provisioners.escrow import shamir
from keyrung_provisioners.escrow.bookkeeping import CONFIRMED, record_reshare, refuse_shared_use
from keyrung_provisioners.escrow.ceremony import Plan
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.keeper import Keeper, envelope_name, stored_envelope
from keyrung_provisioners.escrow.recipients import Stores, parse_recipient
from keyrung_provisioners.inventory import KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri, VaultUri

DEFAULT_FOLDER = f"{STATE_FOLDER}/escrow"
PLAN = Property(
    type="object",
    object_name="EscrowPlan",
    optional=True,
    description="Who holds shares of the key's escrow, from an Escrow; left out, the key never leaves its store.",
    members={
        "threshold": Property(type="integer", description="How many custodians must come together."),
        "custodians": Property(type="array", description="The recipients of the custodians."),
        "folder": Property(type="string", description="Where the envelope is kept, relative to the project."),
    },
)
ENVELOPE = Property(
    type="object",
    object_name="EscrowEnvelope",
    optional=True,
    description="The key's escrow, sealed and test-restored; absent for a key that is not escrowed.",
    members={
        "path": Property(type="string", description="Where the envelope is, relative to the project."),
        "set": Property(type="string", description="Name of this set of shares."),
        "createdAt": Property(type="string", description="When it was sealed (UTC)."),
        "shareDigests": Property(type="array", description="Digest of each share, in the order of the custodians."),
        "state": Property(type="string", description="escrowed, or restored after a recovery."),
    },
)
# Why the keys of a store cannot be escrowed, known without asking it.
_NOT_ESCROWED = {
    "awskms": "KMS never lets out a key that it generated",
    "transit": "Transit lets a key out only if it stays exportable for ever",
    "software": "this back end is for development",
}
_SEALING = (Purpose.CREDENTIAL_SEED, Purpose.KEK)
_SIGNING = (Purpose.ASSERTION_SIGNING, Purpose.POLICY_SIGNING, Purpose.AUDIT_SIGNING)


def plan_failures(plan: Values) -> list[Failure]:
    """Return what is wrong with a quorum; recipients that are not known yet are not judged."""
    threshold, custodians = plan["threshold"], plan["custodians"]
    if threshold is UNKNOWN or not isinstance(custodians, list):
        return []
    failures = []
    try:
        shamir.check_plan(cast(int, threshold), len(custodians))
    except ProvisionerError as error:
        failures.append(Failure(property="threshold", reason=str(error)))
    known = [text for text in custodians if text is not UNKNOWN]
    for text in known:
        try:
            parse_recipient(str(text))
        except ProvisionerError as error:
            failures.append(Failure(property="custodians", reason=str(error)))
    if len({str(text) for text in known}) != len(known):
        failures.append(Failure(property="custodians", reason="a custodian is named twice; name each one once"))
    return failures


def failures(uri: KeyUri | None, inputs: Values) -> list[Failure]:
    """Return what is wrong with the escrow that a key declares."""
    plan = inputs.get("escrow")
    if not isinstance(plan, dict):
        return []
    found = plan_failures(plan)
    if uri is not None and uri.scheme in _NOT_ESCROWED:
        reason = f"{uri} cannot be escrowed: {_NOT_ESCROWED[uri.scheme]}; keep it in a PKCS#11 token"
        found.append(Failure(property="escrow", reason=reason))
    beside = "" if uri is None else f"{uri.vault_uri};"
    for text in plan["custodians"] if isinstance(plan["custodians"], list) and beside else ():
        if str(text).startswith(beside):
            reason = f"{text} is in the vault of the key whose escrow it would share in; name a key in another vault"
            found.append(Failure(property="escrow", reason=reason))
    return found


def advice(inputs: Values) -> list[str]:
    """Return what escrowing the declared key means, if it signs, and what not escrowing it means, if it seals."""
    plan, purpose = inputs.get("escrow"), inputs["purpose"]
    if plan is None and purpose in _SEALING and str(inputs["vault"]).startswith("pkcs11:"):
        return [
            f"This {purpose} key has no escrow and never leaves its token: whoever loses the token loses all that the "
            "key sealed. Declare `escrow` to have custodians bring it back; a key that is made cannot get one."
        ]
    if not isinstance(plan, dict) or purpose not in _SIGNING:
        return []
    custodians = plan["custodians"]
    count = len(custodians) if isinstance(custodians, list) else "its"
    return [
        f"This {purpose} key will be escrowed: any {_text(plan['threshold'])} of {count} custodians together can sign "
        "in its name. SP 800-57 part 1 advises against archiving private signature keys; a new generation replaces a "
        "lost one."
    ]


def keeper(plan: Plain, backends: Backends, *, stores: Stores = lambda _scheme: None) -> Keeper | None:
    """Return who keeps the escrow that ``plan`` (the input `escrow`) declares; None when it declares none."""
    if not isinstance(plan, dict):
        return None
    recipients = tuple(parse_recipient(text, stores=stores) for text in cast(list[str], plan["custodians"]))
    declared = Plan(threshold=cast(int, plan["threshold"]), recipients=recipients)
    return Keeper(store=_folder(plan, backends), plan=declared, token_bytes=token_bytes, now=backends.now)


def sealing_keeper(plan: Plain, vault: VaultUri, backends: Backends) -> Keeper | None:
    """Return a keeper that can seal keys in ``vault``, after refusing custodians that must not hold a share of them."""
    found = keeper(plan, backends, stores=backends.manager)
    if found is not None:
        refuse_shared_use(found.plan, vault, backends.inventory())
    return found


def guard_change(state: Values, inputs: Values, backends: Backends) -> None:
    """Refuse a change of escrow that only people can make, unless they have made it already.

    It is asked when an update is planned and made, not in a diff: a refresh compares the same two things.
    """
    old, new, uri = state.get("escrow"), inputs.get("escrow"), str(state["uri"])
    if new == old or new is UNKNOWN or (isinstance(new, dict) and _has_unknown(new)):
        return  # what is not known yet is judged again when it is
    if not isinstance(new, dict):
        raise InfraError(
            f"{uri} is escrowed, and so is every generation after it", fix="keep `escrow`, or declare another key"
        )
    if inputs["generation"] != state["generation"]:
        return  # the new generation is sealed as declared, the old one stays as it is
    if not isinstance(old, dict):
        raise InfraError(
            f"{uri} was made without escrow and never leaves its store",
            fix=f"raise `generation` to {cast(int, state['generation']) + 1} together with it",
        )
    row = backends.inventory().find(KeyUri.parse(uri))
    if row is None:
        raise InfraError(f"the inventory has no key {uri}", fix="restore the inventory that belongs to this state")
    found = stored_envelope(_folder(new, backends), row) or stored_envelope(_folder(old, backends), row)
    if found is None:
        raise _missing(row, old)
    if _quorum(_plan_of(found)) != _quorum(new):
        options = " ".join(f"--recipient {shlex.quote(str(text))}" for text in cast(list[Plain], new["custodians"]))
        raise InfraError(
            f"{uri} is sealed to other custodians, and only a quorum of those can seal it anew",
            fix=f"run `keyrung escrow reshare {_path(row, old)} --threshold {new['threshold']} {options}` with their "
            "opened shares, then repeat this",
        )


def outputs(rows: Sequence[KeyRow], plan: Plain, backends: Backends) -> Values:
    """Return `escrow` and `envelope` of the newest generation, as its envelope says; nothing if it is not escrowed.

    Raises:
        InfraError: If the envelope of a living generation is not there.
        EnvelopeRefusedError: If what is there is not an envelope of that generation.
    """
    found = {row.claim.generation: _stored(row, plan, backends) for row in _escrowed(rows)}
    newest = rows[-1]
    envelope = found.get(newest.claim.generation)
    if envelope is None or not isinstance(plan, dict):
        return {}
    return {
        "escrow": {**plan, **_plan_of(envelope)},
        "envelope": {
            "path": _path(newest, plan),
            "set": envelope.set_id,
            "createdAt": envelope.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "shareDigests": [share.digest for share in envelope.shares],
            "state": newest.custody.value,
        },
    }


def recorded_plan(uri: KeyUri, backends: Backends) -> dict[str, Plain] | None:
    """Return the plan of a key that was escrowed by command; None for one that the inventory has not or not escrowed.

    Raises:
        InfraError: If its envelope is not in the default folder.
    """
    row = backends.inventory().find(uri)
    if row is None or row.custody not in CONFIRMED:
        return None
    plan: dict[str, Plain] = {"folder": DEFAULT_FOLDER}
    return {**_plan_of(_stored(row, plan, backends)), **plan}


def follow(rows: Sequence[KeyRow], old: Plain, new: Plain, backends: Backends) -> None:
    """Move the envelopes to the declared folder, and record the sets that custodians made since."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return
    before, after = _folder(old, backends), _folder(new, backends)
    for row in _escrowed(rows):
        name = envelope_name(row)
        data = before.read(name)
        if data is not None and after.read(name) is None:
            after.write(name, data)
            before.remove(name)
        found = _stored(row, new, backends)
        if (row.evidence or {}).get("escrow_set") != found.set_id:
            record_reshare(backends.inventory(), found, now=backends.now())


def _escrowed(rows: Sequence[KeyRow]) -> list[KeyRow]:
    return [row for row in rows if row.custody in CONFIRMED and row.state is not KeyState.DESTROYED]


def _stored(row: KeyRow, plan: Plain, backends: Backends) -> Envelope:
    declared = cast(dict[str, Plain], plan)
    found = stored_envelope(_folder(declared, backends), row)
    if found is None:
        raise _missing(row, declared)
    return found


def _folder(plan: dict[str, Plain], backends: Backends) -> EscrowFolder:
    return EscrowFolder(folder=backends.root / str(plan["folder"]))


def _plan_of(envelope: Envelope) -> dict[str, Plain]:
    return {"threshold": envelope.threshold, "custodians": [share.recipient for share in envelope.shares]}


def _path(row: KeyRow, plan: dict[str, Plain]) -> str:
    return f"{plan['folder']}/{EscrowFolder.file_name(envelope_name(row))}"


def _missing(row: KeyRow, plan: dict[str, Plain]) -> InfraError:
    return InfraError(
        f"the escrow envelope of {row.claim.uri} is not at {_path(row, plan)}",
        fix="put it back; any copy will do",
        uri=str(row.claim.uri),
    )


def _quorum(plan: Mapping[str, Plain]) -> tuple[Plain, Plain]:
    return plan["threshold"], plan["custodians"]


def _has_unknown(plan: Mapping[str, Plain]) -> bool:
    custodians = plan["custodians"]
    return UNKNOWN in plan.values() or (isinstance(custodians, list) and UNKNOWN in custodians)


def _text(value: Plain) -> str:
    return "a quorum" if value is UNKNOWN else str(value)
