"""Puts a vault through every check, with each algorithm, and removes what it made, however it ends."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from keyrung_provisioners.algorithms import ALGORITHMS, Algorithm
from keyrung_provisioners.api import Capability, KeyManager
from keyrung_provisioners.conformance import core, moving, using
from keyrung_provisioners.conformance.trial import CheckFailedError, Trial
from keyrung_provisioners.errors import NotOfferedError, ProvisionerError
from keyrung_provisioners.uri import VaultUri

_PREFIX_BYTES = 4


class Outcome(StrEnum):
    """What came of one check with one algorithm."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_OFFERED = "not offered"


class Kind(StrEnum):
    """Which keys a check is for."""

    ANY = "any"
    SIGNING = "signing"
    SEALING = "sealing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check.

    Attributes:
        name: What the store is seen to do.
        needs: The abilities that it uses.
    """

    name: str
    run: Callable[[Trial], None]
    kind: Kind = Kind.ANY
    needs: frozenset[Capability] = frozenset()

    def applies(self, row: Algorithm) -> bool:
        """Return whether the check is for keys of this algorithm."""
        return self.kind is Kind.ANY or (self.kind is Kind.SEALING) == row.symmetric


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a check; `reason` is empty for one that was passed."""

    check: str
    algorithm: str
    outcome: Outcome
    reason: str = ""


_SIGNING = frozenset({Capability.SIGNING})
_SEALING = frozenset({Capability.SEALING})
_ESCROWING = frozenset({Capability.SIGNING, Capability.WRAPPING, Capability.IMPORTING})
_PAIR, _SECRET = Kind.SIGNING, Kind.SEALING
CHECKS = (
    Check(name="makes a key as declared", run=core.made_as_declared),
    Check(name="finds it again by its URI", run=core.found_by_uri),
    Check(name="lists it", run=core.listed),
    Check(name="tells another algorithm", run=core.another_algorithm_is_told),
    Check(name="makes no second key under the name", run=core.name_is_taken),
    Check(name="adopts after an interruption", run=core.adopted_after_an_interruption),
    Check(name="misses what is not there", run=core.missing_is_missing),
    Check(name="signs", run=using.signs, kind=_PAIR, needs=_SIGNING),
    Check(name="signs its message only", run=using.altered_signatures_do_not_verify, kind=_PAIR, needs=_SIGNING),
    Check(name="seals nothing", run=using.a_signing_key_seals_nothing, kind=_PAIR, needs=_SEALING),
    Check(name="seals and opens", run=using.seals, kind=_SECRET, needs=_SEALING),
    Check(name="opens nothing altered", run=using.altered_texts_do_not_open, kind=_SECRET, needs=_SEALING),
    Check(name="signs nothing", run=using.a_sealing_key_signs_nothing, kind=_SECRET, needs=_SIGNING),
    Check(
        name="renews in place",
        run=using.renewed_in_place,
        kind=_SECRET,
        needs=frozenset({Capability.SEALING, Capability.ROTATING}),
    ),
    Check(name="wraps no sole key", run=moving.sole_is_not_wrapped, needs=frozenset({Capability.WRAPPING})),
    Check(name="rehearses a wrapped key", run=moving.wrapped_key_rehearses, needs=_ESCROWING),
    Check(name="locks a key in", run=moving.locked_key_leaves_no_more, needs=_ESCROWING),
    Check(name="takes a wrapped key back", run=moving.wrapped_key_comes_back, needs=_ESCROWING),
    Check(
        name="exports no sole key",
        run=moving.sole_is_not_exported,
        kind=_PAIR,
        needs=frozenset({Capability.EXPORTING}),
    ),
    Check(
        name="exports to another store",
        run=moving.exported_to_another_store,
        kind=_PAIR,
        needs=frozenset({Capability.EXPORTING}),
    ),
    Check(
        name="receives from another store",
        run=moving.received_from_another_store,
        kind=_PAIR,
        needs=frozenset({Capability.SIGNING, Capability.RECEIVING}),
    ),
    Check(name="destroys", run=core.destroyed_is_gone),
)
REMOVES = "removes what was made"  # the last check of each algorithm


def total(algorithms: Sequence[str]) -> int:
    """Return how many results `run` gives."""
    return sum(check.applies(ALGORITHMS[name]) for name in algorithms for check in CHECKS) + len(algorithms)


def run(
    reopen: Callable[[], KeyManager],
    vault: VaultUri,
    *,
    algorithms: Sequence[str],
    random: Callable[[int], bytes],
    reached: Callable[[Result], None],
) -> list[Result]:
    """Return what came of every check with each of ``algorithms``, in their order in the table.

    Args:
        reopen: Makes a manager of the store that knows nothing of the others.
        vault: Where scratch keys are made and removed; it must be there.
        algorithms: Names of the algorithm table.
        random: Gives random bytes.
        reached: Told each result as it comes.

    Raises:
        ProvisionerError: If the vault cannot be used at all.
    """
    manager = reopen()
    manager.names(vault)  # a vault that cannot be used is one error, not one for each check
    prefix = f"conformance-{random(_PREFIX_BYTES).hex()}"
    results: list[Result] = []

    def record(result: Result) -> None:
        results.append(result)
        reached(result)

    for name in (known for known in ALGORITHMS if known in algorithms):
        trial = Trial(reopen=reopen, vault=vault, row=ALGORITHMS[name], prefix=prefix, random=random)
        try:
            for check in CHECKS:
                if check.applies(trial.row):
                    record(_result(check, trial, manager.capabilities))
        except BaseException:
            _remove(trial)
            raise
        left = _remove(trial)
        outcome = Outcome.FAILED if left else Outcome.PASSED
        record(Result(check=REMOVES, algorithm=name, outcome=outcome, reason="; ".join(left)))
    return results


def _result(check: Check, trial: Trial, capabilities: frozenset[Capability]) -> Result:
    algorithm = trial.row.name
    missing = sorted(check.needs - capabilities)
    if missing:
        why = f"the back end does not state {' and '.join(missing)}"
        return Result(check=check.name, algorithm=algorithm, outcome=Outcome.NOT_OFFERED, reason=why)
    try:
        trial.key()  # where none can be made, every check says why
        check.run(trial)
    except NotOfferedError as error:
        return Result(check=check.name, algorithm=algorithm, outcome=Outcome.NOT_OFFERED, reason=error.message)
    except CheckFailedError as error:
        return Result(check=check.name, algorithm=algorithm, outcome=Outcome.FAILED, reason=error.message)
    except ProvisionerError as error:
        return Result(check=check.name, algorithm=algorithm, outcome=Outcome.FAILED, reason=str(error))
    return Result(check=check.name, algorithm=algorithm, outcome=Outcome.PASSED)


def _remove(trial: Trial) -> list[str]:
    """Remove every scratch key, and return what could not be removed."""
    left = []
    for uri in trial.made:
        try:
            trial.manager.destroy(uri)
        except ProvisionerError as error:
            with suppress(ProvisionerError):
                trial.manager.describe(uri)
                left.append(f"{uri} is still there: {error}")
    return left
