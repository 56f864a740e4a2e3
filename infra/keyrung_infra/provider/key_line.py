"""The generations of a `Key` as its state holds them: outputs made from rows, and what a preview can tell from them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from keyrung_infra.errors import InfraError
from keyrung_infra.provider import key_source
from keyrung_infra.provider.model import Failure, Values
from keyrung_infra.provider.values import UNKNOWN, Plain
from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import InvalidSettingError
from keyrung_provisioners.generations import SKEW_SECONDS, Line, Stage, active, due
from keyrung_provisioners.inventory import KeyRow
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri, VaultUri


def declared_line(urn: str, inputs: Values) -> Line:
    """Return the line that known inputs declare."""
    return Line(
        owner=urn,
        uri=VaultUri.parse(str(inputs["vault"])).key(str(inputs["name"])),
        generation=whole_number(inputs, "generation"),
        algorithm=str(inputs["algorithm"]),
        purpose=Purpose(str(inputs["purpose"])),
        escrowed=inputs.get("escrow") is not None,
        copy_to=copy_uri(inputs),
        source=key_source.declared(inputs),
        publish_seconds=whole_number(inputs, "publishSeconds"),
        overlap_seconds=whole_number(inputs, "overlapSeconds"),
    )


def copy_uri(inputs: Values) -> KeyUri | None:
    """Return where the key's copy stands, as far as that is known; raise `InvalidSettingError` for what is no URI."""
    declared = inputs.get("copyTo")
    return None if declared is None or declared is UNKNOWN else KeyUri.parse(str(declared))


def copy_failures(inputs: Values) -> list[Failure]:
    """Return what is wrong with the declared copy."""
    if inputs.get("copyTo") in {None, UNKNOWN}:
        return []
    try:
        copy_uri(inputs)
    except InvalidSettingError as error:
        return [Failure(property="copyTo", reason=str(error))]
    declared = inputs["algorithm"]
    if inputs.get("escrow") is not None:
        return [Failure(property="copyTo", reason="a key has either an escrow or a copy; leave one of them out")]
    if declared is not UNKNOWN and algorithm(str(declared)).symmetric:
        return [Failure(property="copyTo", reason="only a signing key can prove its copy; choose such an algorithm")]
    return []


def whole_number(values: Values, name: str) -> int:
    """Return the number; raise `InfraError` for anything else."""
    value = values[name]
    if not isinstance(value, int):
        raise InfraError(f"{name} is not a whole number", fix="write it as 1, 2, 3")
    return value


def outputs(rows: Sequence[KeyRow], holder: str) -> Values:
    """Return the outputs for a line; what a single key has is that of its newest generation."""
    newest = rows[-1]
    return {
        "holder": holder,
        "uri": str(newest.claim.uri),
        "thumbprint": newest.fingerprint,
        "publicKeyPem": newest.public_key_pem or "",
        "state": newest.state.value,
        "evidence": dict(newest.evidence or {}),
        "generations": [_generation(row) for row in rows],
    }


def stages(state: Values) -> list[Stage]:
    """Return the stages of the generations that the state lists, oldest first."""
    found = state.get("generations")
    return [_stage(item) for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def due_now(state: Values, inputs: Values, now: datetime) -> dict[int, KeyState]:
    """Return the state that each generation is due for."""
    overlap_seconds = inputs["overlapSeconds"]
    return due(
        stages(state),
        now=now,
        overlap_seconds=overlap_seconds if isinstance(overlap_seconds, int) else whole_number(state, "overlapSeconds"),
        keep=algorithm(str(state["algorithm"])).symmetric,
    )


def rotation_advice(state: Values, inputs: Values, now: datetime) -> list[str]:
    """Return what happens to generations, one sentence each."""
    sentences = [
        f"generation {generation} of {state['name']} becomes {due}"
        for generation, due in due_now(state, inputs, now).items()
    ]
    wanted, wait_seconds = inputs["generation"], inputs["publishSeconds"]
    if isinstance(wanted, int) and wanted != state["generation"] and isinstance(wait_seconds, int):
        sentences.append(_next_use(state, wanted, timedelta(seconds=wait_seconds), now))
    return sentences


def _next_use(state: Values, wanted: int, wait: timedelta, now: datetime) -> str:
    """Return when a new generation is used: at once where none before it is active, as `bring_up_to_date` has it."""
    in_use = active(stages(state))
    if not in_use:
        return (
            f"generation {wanted} of {state['name']} is published now and used at once: generation"
            f" {state['generation']} is {state['state']}, and nothing uses it"
        )
    begins = now + wait
    over = begins + timedelta(seconds=SKEW_SECONDS)
    return (
        f"generation {wanted} of {state['name']} is published now and used from about"
        f" {begins.isoformat(timespec='seconds')}; a `pulumi up` after {over.time().isoformat(timespec='seconds')}"
        f" ends generation {in_use[-1].generation}"
    )


def _generation(row: KeyRow) -> dict[str, Plain]:
    return {
        "generation": row.claim.generation,
        "uri": str(row.claim.uri),
        "thumbprint": row.fingerprint or "",
        "publicKeyPem": row.public_key_pem or "",
        "state": row.state.value,
        "stateSince": row.state_since.isoformat(),
        "useNotBefore": "" if row.use_not_before is None else row.use_not_before.isoformat(),
    }


def _stage(item: dict[str, Plain]) -> Stage:
    used_from = str(item["useNotBefore"])
    return Stage(
        generation=whole_number(item, "generation"),
        state=KeyState(str(item["state"])),
        state_since=datetime.fromisoformat(str(item["stateSince"])),
        use_not_before=datetime.fromisoformat(used_from) if used_from else None,
    )
