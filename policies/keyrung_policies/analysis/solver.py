"""The one place that loads z3, and questions to it that always end: yes with a model, no, or not decided."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from keyrung_policies.analysis.errors import SolverMissingError

try:
    import z3
except ImportError as error:
    raise SolverMissingError from error

# z3 publishes no types.
Formula: TypeAlias = Any
Model: TypeAlias = Any

# Compared by identity: every formula that is trivially true or false is one of these two.
TRUE: Formula = z3.BoolVal(True)
FALSE: Formula = z3.BoolVal(False)
_MILLISECONDS = 1000
# The solver counts its milliseconds in 32 bits.
_MAX_WAIT_SECONDS = 24 * 60 * 60
# z3's objects share one context, which is not safe to use from two threads.
_IN_USE = threading.RLock()


class UndecidedError(Exception):
    """The time was over before the solver knew; never leaves this package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The moment on a monotonic clock at which an analysis stops deciding."""

    ends: float
    clock: Callable[[], float]

    def left_milliseconds(self) -> int:
        """Return what is left; raises `UndecidedError` once nothing is."""
        left_seconds = self.ends - self.clock()
        # No number is over neither: so it counts as over.
        if not left_seconds * _MILLISECONDS >= 1:
            raise UndecidedError
        return int(min(left_seconds, _MAX_WAIT_SECONDS) * _MILLISECONDS)


def deadline(timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
    """Return the deadline this many seconds from now."""
    return Deadline(ends=clock() + timeout_seconds, clock=clock)


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the solver for one analysis."""
    with _IN_USE:
        yield


class Questions:
    """Questions about the requests for which some facts hold, all asked before one deadline."""

    def __init__(self, facts: list[Formula], until: Deadline) -> None:
        self._solver = z3.SimpleSolver()
        self._solver.add(*facts)
        self._until = until

    def find(self, claim: Formula, *, rather: Formula | None = None) -> Model | None:
        """Return a model in which the claim holds, one in which ``rather`` holds too if there is any, or None.

        Raises:
            UndecidedError: The time was over first.
        """
        if claim is FALSE:
            return None
        self._solver.push()
        try:
            self._solver.add(claim)
            model = self._check()
            if model is None or rather is None:
                return model
            self._solver.add(rather)
            return self._check() or model
        finally:
            self._solver.pop()

    def _check(self) -> Model | None:
        self._solver.set("timeout", self._until.left_milliseconds())
        answer = self._solver.check()
        if answer == z3.sat:
            return self._solver.model()
        if answer == z3.unsat:
            return None
        raise UndecidedError


def every(parts: list[Formula]) -> Formula:
    """Return the conjunction; of nothing it is true."""
    kept = [part for part in parts if part is not TRUE]
    if any(part is FALSE for part in kept):
        return FALSE
    return TRUE if not kept else kept[0] if len(kept) == 1 else z3.And(kept)


def some(parts: list[Formula]) -> Formula:
    """Return the disjunction; of nothing it is false."""
    kept = [part for part in parts if part is not FALSE]
    if any(part is TRUE for part in kept):
        return TRUE
    return FALSE if not kept else kept[0] if len(kept) == 1 else z3.Or(kept)


def negate(part: Formula) -> Formula:
    """Return the negation."""
    if part is TRUE:
        return FALSE
    return TRUE if part is FALSE else z3.Not(part)


def number(name: str) -> Formula:
    """Return an integer unknown."""
    return z3.Int(name)


def flag(name: str) -> Formula:
    """Return a truth unknown."""
    return z3.Bool(name)


def total(flags: list[Formula]) -> Formula:
    """Return how many of the flags hold."""
    return z3.Sum([z3.If(one, 1, 0) for one in flags]) if flags else z3.IntVal(0)


def value_of(model: Model, unknown: Formula) -> int:
    """Return the integer a model gives to an unknown; one it leaves open is 0."""
    return int(model.eval(unknown, model_completion=True).as_long())


def holds_in(model: Model, unknown: Formula) -> bool:
    """Return whether a model makes a flag true."""
    return bool(z3.is_true(model.eval(unknown, model_completion=True)))


def among(unknown: Formula, wanted: list[int], size: int) -> Formula:
    """Return that an integer from 0 to below ``size`` is one of ``wanted`` (ascending)."""
    if not wanted:
        return FALSE
    if len(wanted) == size:
        return TRUE
    if len(wanted) > size // 2:
        kept = set(wanted)
        return negate(some(_runs(unknown, [index for index in range(size) if index not in kept])))
    return some(_runs(unknown, wanted))


def _runs(unknown: Formula, wanted: list[int]) -> list[Formula]:
    runs: list[tuple[int, int]] = []
    for index in wanted:
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return [unknown == first if first == last else z3.And(unknown >= first, unknown <= last) for first, last in runs]
