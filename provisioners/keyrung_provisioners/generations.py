"""A declared key as a line of generations: the next one is published first and used later, the one before ends last.

Nothing here waits. Each time a line is brought up to date, the clock says what is due: signers go over to a generation
when its `use_not_before` has come, by themselves; the run after that deactivates the generation before it, and a run
after the overlap destroys that one. A run that was interrupted anywhere is finished by the next.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import KeyManager, Purpose
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.inventory import Claim, KeyRow
from keyrung_provisioners.provision import Provisioner
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

# Twice the longest time for which a guard keeps a key set (300 s), so that every one has the new key before its use.
PUBLISH_SECONDS = 600
# What a key signed is over long before, except for logs and policies, which keep its public half; the rest of the day
# is for people who notice that something still needs it.
OVERLAP_SECONDS = 86_400
# How far the clocks of signers may be behind ours before one would still use a key that we deactivate.
SKEW_SECONDS = 60
_WHOLE_LINE = 0  # the lock of a line; its generations begin at 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A declared key.

    Attributes:
        uri: Name of the first generation.
        generation: The newest generation that is wanted.
        publish_seconds: From the activation of a new generation to its first use.
        overlap_seconds: From the deactivation of a generation to its destruction.
        copy_to: Name of the first generation's copy in another store, if the key is portable.
        source: See `Claim.source`, of the newest generation; the names of the others follow from `uri` alone then.
    """

    owner: str
    uri: KeyUri
    generation: int
    algorithm: str
    purpose: Purpose
    escrowed: bool = False
    copy_to: KeyUri | None = None
    source: str | None = None
    publish_seconds: int = PUBLISH_SECONDS
    overlap_seconds: int = OVERLAP_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far one generation is: all that is needed to say what is due."""

    generation: int
    state: KeyState
    state_since: datetime
    use_not_before: datetime | None


def stage(row: KeyRow) -> Stage:
    """Return the stage of a recorded generation."""
    return Stage(
        generation=row.claim.generation,
        state=row.state,
        state_since=row.state_since,
        use_not_before=row.use_not_before,
    )


def due(stages: Sequence[Stage], *, now: datetime, overlap_seconds: int, keep: bool) -> dict[int, KeyState]:
    """Return the state that each generation is due for, by generation; empty when nothing is.

    Args:
        stages: The generations of one line, oldest first, as far as they were published.
        now: The present moment.
        overlap_seconds: From deactivation to destruction.
        keep: Whether a generation stays after its deactivation: a symmetric one opens what it sealed.
    """
    in_use = [
        each.generation
        for each in stages
        if each.state is KeyState.ACTIVE
        and each.use_not_before is not None
        and each.use_not_before + timedelta(seconds=SKEW_SECONDS) <= now
    ]
    steps: dict[int, KeyState] = {}
    destroys = not keep
    for each in stages:
        if each.generation >= max(in_use, default=0):
            break
        if each.state in {KeyState.ACTIVE, KeyState.SUSPENDED}:
            steps[each.generation] = KeyState.DEACTIVATED
        over = each.state_since + timedelta(seconds=overlap_seconds) <= now
        if destroys and over and each.state in {KeyState.DEACTIVATED, KeyState.COMPROMISED}:
            steps[each.generation] = KeyState.DESTROYED
        destroys &= KeyState.DESTROYED in {each.state, steps.get(each.generation)}  # oldest first, as some stores ask
    return steps


def check_generation(stages: Sequence[Stage], wanted: int, steps: dict[int, KeyState]) -> None:
    """Refuse a generation that cannot follow; ``steps`` is what is `due` before it is made.

    Raises:
        KeyRefusedError: If it is lower than the newest, skips one, or comes before the last rotation has ended.
    """
    if not stages:
        return
    newest = stages[-1]
    if wanted < newest.generation:
        raise _refused(f"generation {wanted} is over: the newest is {newest.generation}", newest.generation)
    if wanted == newest.generation or newest.state is KeyState.DESTROYED:
        return
    if wanted > newest.generation + 1:
        raise _refused(f"generation {wanted} would skip one", newest.generation + 1)
    if newest.state is KeyState.PRE_ACTIVATION:
        raise _refused(f"generation {newest.generation} is not finished", newest.generation)
    older = [each for each in stages[:-1] if each.state is KeyState.ACTIVE and each.generation not in steps]
    if older and newest.state is KeyState.ACTIVE and newest.use_not_before is not None:
        over_at = newest.use_not_before + timedelta(seconds=SKEW_SECONDS)
        raise KeyRefusedError(
            f"generation {newest.generation} is still taking over from generation {older[-1].generation}",
            fix=f"repeat this after {over_at.isoformat(timespec='seconds')}; a compromised key is marked as such first",
            generation=str(newest.generation),
        )


def active(stages: Iterable[Stage]) -> list[Stage]:
    """Return the active generations, oldest first: the first is the one to use as long as there are two."""
    return [each for each in stages if each.state is KeyState.ACTIVE]


def bring_up_to_date(
    provisioner: Provisioner,
    line: Line,
    manager: KeyManager,
    *,
    published: Collection[int] = (),
    holder: str | None = None,
) -> Sequence[KeyRow]:
    """Do what is declared and what is due, and return the row of every generation, oldest first.

    Args:
        provisioner: The steps of one key's life.
        line: What is declared.
        manager: The back end of its vault.
        published: Generations that an earlier run has handed on; any other one is not relied on before it has been
            published for the whole `publish_seconds`, counted from now.
        holder: See `Provisioner.provision`.

    Raises:
        KeyRefusedError: If the generation cannot follow; see `check_generation`.
        ProvisionerError: What `Provisioner.provision` and `retire` raise.
    """
    inventory = provisioner.inventory
    with inventory.exclusive(line.owner, _WHOLE_LINE):
        rows = inventory.line(line.owner)
        stages = [stage(row) for row in rows]
        steps = due(
            [each for each in stages if each.generation in published],
            now=provisioner.now(),
            overlap_seconds=line.overlap_seconds,
            keep=algorithm(line.algorithm).symmetric,
        )
        check_generation(stages, line.generation, steps)
        for row in rows:
            if holder is not None and row.state is not KeyState.DESTROYED:
                inventory.hold(row, holder)
            _end(provisioner, row, steps.get(row.claim.generation), manager)
        _continue(provisioner, line, manager, published=published, holder=holder)
        return inventory.line(line.owner)


def retire_line(provisioner: Provisioner, owner: str, manager: KeyManager, *, holder: str | None = None) -> None:
    """Destroy every living generation, oldest first; already gone counts as done. Raises what `retire` raises."""
    with provisioner.inventory.exclusive(owner, _WHOLE_LINE):
        for row in provisioner.inventory.line(owner):
            provisioner.retire(owner, row.claim.generation, manager, holder=holder)


def _end(provisioner: Provisioner, row: KeyRow, state: KeyState | None, manager: KeyManager) -> None:
    if state is KeyState.DESTROYED:
        provisioner.retire(row.claim.owner, row.claim.generation, manager)
    elif state is not None:
        provisioner.reached("deactivate")
        provisioner.inventory.transition(row, state, now=provisioner.now())


def _continue(
    provisioner: Provisioner, line: Line, manager: KeyManager, *, published: Collection[int], holder: str | None
) -> None:
    """Have the wanted generation there, and used no earlier than everybody can know it."""
    rows = provisioner.inventory.line(line.owner)
    followed = any(row.state is KeyState.ACTIVE and row.claim.generation < line.generation for row in rows)
    living = [row for row in rows if row.state is not KeyState.DESTROYED]
    copies = {row.claim.generation: row.claim.copy_to for row in living if row.claim.copy_to is not None}
    claim = Claim(
        owner=line.owner,
        generation=line.generation,
        uri=line.uri.of_generation(line.generation)
        if line.source is not None
        else _uri(line.uri, line.generation, {row.claim.generation: row.claim.uri for row in living}),
        algorithm=line.algorithm,
        purpose=line.purpose,
        escrowed=line.escrowed,
        copy_to=None if line.copy_to is None else _uri(line.copy_to, line.generation, copies),
        source=line.source,
    )
    wait_seconds = line.publish_seconds if followed else 0
    row = provisioner.provision(claim, manager, holder=holder, publish_seconds=wait_seconds)
    if followed and line.generation not in published and row.state is KeyState.ACTIVE:
        earliest = provisioner.now() + timedelta(seconds=wait_seconds)
        if row.use_not_before is None or row.use_not_before < earliest:
            provisioner.reached("postpone")
            provisioner.inventory.postpone(row, earliest)


def _uri(first: KeyUri, generation: int, living: Mapping[int, KeyUri]) -> KeyUri:
    """Return the name of a generation; the first one after a line was empty has the declared name."""
    if not living:
        return first
    newest = max(living)
    there = living[newest]
    versioned = first.of_generation(2).name == first.name
    later = generation - newest
    if later == 0:  # a changed name stays as declared: the claim tells what it was made for
        ours = first.of_generation(there.version if versioned else newest)
        return there if there in {first, ours} else first
    return first.of_generation(there.version + later if versioned else generation)


def _refused(what: str, right: int) -> KeyRefusedError:
    return KeyRefusedError(what, fix=f"set `generation` to {right}", generation=str(right))
