"""Texts reduced to finitely many: one for each way in which a text can fit patterns, equal values and be short enough.

All patterns are read at once, as one automaton whose state is a single integer: bit i says that some pattern has been
read up to its i-th character. Texts that equal a value are classes of their own and are kept out of the others by
walking the tree of values alongside.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from keyrung_policies.analysis.errors import AnalysisLimitError

# What is looked at before the patterns of one attribute are called too entangled: some seconds of work.
MAX_STATES = 60_000
# Where a text may hold any character, the witness shows the first of these that no pattern mentions.
_PLAIN = "xyzwvutsrqponmlkjihgfedcba0123456789"
_LEFT_TREE = -1
_RUN_OF_STARS = re.compile(r"\*+")

_State = tuple[int, int]
_Layer = dict[_State, tuple[_State, str] | None]


@cache
def text_classes(values: frozenset[str], patterns: frozenset[str], limits: tuple[int, ...]) -> tuple[str, ...]:
    """Return texts such that every text behaves like one of them.

    Two texts behave alike when they equal the same of ``values``, fit the same of ``patterns`` (`*` stands for any run
    of characters) and exceed the same of ``limits`` (characters, ascending). Texts longer than all limits are left out.

    Raises:
        AnalysisLimitError: The patterns are too entangled.
    """
    automaton = _Automaton(patterns=tuple(sorted(patterns)), values=tuple(sorted(values)))
    found = [value for value in sorted(values) if len(value) <= limits[-1]]
    shortest = 0
    for limit in limits:
        found += automaton.others(shortest, limit)
        shortest = limit + 1
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Automaton:
    patterns: tuple[str, ...]
    values: tuple[str, ...]

    def others(self, shortest: int, longest: int) -> Iterator[str]:
        """Yield a text of ``shortest`` to ``longest`` characters that is no value, for each way to fit the patterns."""
        seen: set[int] = set()
        empty: str | None = None
        for length in range(longest + 1):
            layer = self._layer(length)
            if length < shortest:
                continue
            for state in layer:
                fits = state[0] & self._ends
                if fits in seen or state[1] in self._value_nodes:
                    continue
                if length == 0:
                    # Any longer text that fits the same reads better in a report.
                    empty = ""
                    continue
                seen.add(fits)
                yield self._word(state, length)
            if (self._is_stable and length >= len(self._layers)) or len(seen) == 1 << len(self.patterns):
                break
        if empty is not None and self._start[0] & self._ends not in seen:
            yield empty

    def _layer(self, length: int) -> _Layer:
        """Return the states that texts of this length reach, each with a state before it and the character between."""
        layers = self._layers
        while len(layers) <= length:
            if self._is_stable:
                return layers[-1]
            following: _Layer = {}
            for state in layers[-1]:
                for character in self._characters(state):
                    following.setdefault(self._step(state, character), (state, character))
            layers.append(following)
            if sum(map(len, layers)) > MAX_STATES:
                raise AnalysisLimitError("the patterns of one attribute overlap in too many ways to tell apart")
        return layers[length]

    @property
    def _is_stable(self) -> bool:
        """Whether longer texts reach the same states as those looked at last."""
        return len(self._layers) > 1 and self._layers[-1].keys() == self._layers[-2].keys()

    @cached_property
    def _layers(self) -> list[_Layer]:
        return [{self._start: None}]

    def _word(self, state: _State, length: int) -> str:
        characters: list[str] = []
        for position in range(length, 0, -1):
            before = self._layers[min(position, len(self._layers) - 1)][state]
            if before is not None:
                state, character = before
                characters.append(character)
        return "".join(reversed(characters))

    def _characters(self, state: _State) -> list[str]:
        return list(dict.fromkeys((self._other, *self._mentioned, *self._tree.get(state[1], {}))))

    def _step(self, state: _State, character: str) -> _State:
        read = self._close((state[0] & self._reading.get(character, 0)) << 1 | state[0] & self._stars)
        return read, self._tree.get(state[1], {}).get(character, _LEFT_TREE)

    def _close(self, read: int) -> int:
        read |= (read & self._stars) << 1
        for star, before in self._later_stars:
            # What is before a reached star can no longer matter: the star takes any text.
            if read & star:
                read &= ~before
        return read

    @cached_property
    def _laid_out(self) -> list[str]:
        """Return the patterns with runs of stars as one star, each with room for its end."""
        return [_RUN_OF_STARS.sub("*", pattern) for pattern in self.patterns]

    @cached_property
    def _offsets(self) -> list[int]:
        offsets, position = [], 0
        for pattern in self._laid_out:
            offsets.append(position)
            position += len(pattern) + 1
        return offsets

    @cached_property
    def _reading(self) -> dict[str, int]:
        masks: dict[str, int] = {}
        for offset, pattern in zip(self._offsets, self._laid_out, strict=True):
            for position, character in enumerate(pattern):
                if character != "*":
                    masks[character] = masks.get(character, 0) | 1 << (offset + position)
        return masks

    @cached_property
    def _stars(self) -> int:
        return sum(
            1 << (offset + position)
            for offset, pattern in zip(self._offsets, self._laid_out, strict=True)
            for position, character in enumerate(pattern)
            if character == "*"
        )

    @cached_property
    def _later_stars(self) -> list[tuple[int, int]]:
        return [
            (1 << (offset + position), ((1 << position) - 1) << offset)
            for offset, pattern in zip(self._offsets, self._laid_out, strict=True)
            for position, character in enumerate(pattern)
            if character == "*" and "*" in pattern[:position]
        ]

    @cached_property
    def _ends(self) -> int:
        return sum(1 << (offset + len(text)) for offset, text in zip(self._offsets, self._laid_out, strict=True))

    @cached_property
    def _start(self) -> _State:
        return self._close(sum(1 << offset for offset in self._offsets)), 0

    @cached_property
    def _mentioned(self) -> tuple[str, ...]:
        return tuple(sorted(self._reading))

    @cached_property
    def _other(self) -> str:
        taken = set(self._reading).union(*self.values)
        plain = (character for character in _PLAIN if character not in taken)
        return next(plain, None) or next(chr(code) for code in range(0x100, 0x110000) if chr(code) not in taken)

    @cached_property
    def _tree(self) -> dict[int, dict[str, int]]:
        return self._planted[0]

    @cached_property
    def _value_nodes(self) -> frozenset[int]:
        return self._planted[1]

    @cached_property
    def _planted(self) -> tuple[dict[int, dict[str, int]], frozenset[int]]:
        tree: dict[int, dict[str, int]] = {0: {}}
        ends = set()
        for value in self.values:
            node = 0
            for character in value:
                if character not in tree[node]:
                    tree[node][character] = len(tree)
                    tree[len(tree)] = {}
                node = tree[node][character]
            ends.add(node)
        return tree, frozenset(ends)
