"""All actions as finitely many: each name a policy mentions, and one more name for each of its prefixes and for `*`."""

from collections.abc import Iterable
from dataclasses import dataclass

from keyrung_policies.model import MAX_ACTION_CHARS

_STAR = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionClass:
    """Actions that the same rules concern.

    Attributes:
        label: The name itself, or the pattern whose other actions these are.
        example: One action of the class.
    """

    label: str
    example: str

    @property
    def title(self) -> str:
        """The class in words."""
        if self.label == self.example:
            return self.label
        return "any other action" if self.label == _STAR else f"any other action in {self.label}"


def action_classes(patterns: Iterable[str]) -> list[ActionClass]:
    """Return the classes into which names, prefixes and `*` divide all actions; those that none covers are left out."""
    mentioned = set(patterns)
    names = {pattern for pattern in mentioned if not pattern.endswith(_STAR)}
    prefixes = {pattern.removesuffix(_STAR) for pattern in mentioned - names}
    found = [ActionClass(label=name, example=name) for name in sorted(names)]
    for prefix in sorted(prefixes):
        example = _fresh(prefix, names)
        if example is not None:
            found.append(ActionClass(label=prefix + _STAR, example=example))
    return found


def covers(pattern: str, action: str) -> bool:
    """Return whether a name, a prefix or `*` covers an action."""
    if not pattern.endswith(_STAR):
        return pattern == action
    return action.startswith(pattern.removesuffix(_STAR))


def _fresh(prefix: str, names: set[str]) -> str | None:
    """Return an action below a prefix that is no mentioned name, or None when every possible one is mentioned."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
    words: list[str] = ["other", *(f"other-{number}" for number in range(2, len(names) + 3)), *letters]
    for word in words:
        example = prefix + word
        if len(example) <= MAX_ACTION_CHARS and example not in names:
            return example
    return None
