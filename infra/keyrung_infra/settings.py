"""A stack's settings as they stand in its file: typed, and a wrong or missing one is told with its name and an example.

Pulumi.yaml documents them and has their defaults; the engine has looked at the types that it gives there.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

import pulumi

E = TypeVar("E", bound=StrEnum)


class Target(StrEnum):
    """Where a stack is deployed to; also the name of a module in `keyrung_infra.targets`."""

    LOCAL = "local"
    AWS = "aws"


def chosen_target() -> Target:
    """Return the target of the selected stack."""
    return StackConfig().choice("target", Target)


class StackConfig:
    """The settings of the selected stack, by their names.

    Every method raises `pulumi.RunError`, which the engine shows without a traceback.
    """

    def __init__(self) -> None:
        """Read from the stack that runs."""
        self._config = pulumi.Config()

    def text(self, name: str, *, example: str) -> str:
        """Return a text that is not empty."""
        return self.optional_text(name) or self.refuse(name, "is missing", example=example)

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None if it is left out or empty."""
        return self._config.get(name) or None

    def number(self, name: str, *, least: int, most: int | None = None, example: int) -> int:
        """Return a whole number from ``least`` to ``most``."""
        try:
            value = self._config.get_int(name)
        except pulumi.ConfigTypeError:
            value = None
        if value is None or value < least or (most is not None and value > most):
            limits = f"{least} or more" if most is None else f"{least} to {most}"
            self.refuse(name, f"must be a whole number, {limits}", example=str(example))
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        try:
            value = self._config.get_bool(name)
        except pulumi.ConfigTypeError:
            value = None
        return self.refuse(name, "must be true or false", example="true") if value is None else value

    def choice(self, name: str, choices: type[E]) -> E:
        """Return one of ``choices``."""
        given = self._config.get(name)
        for each in choices:
            if each.value == given:
                return each
        self.refuse(name, f"must be one of {', '.join(choices)}", example=next(iter(choices)).value)

    def texts(self, name: str, *, example: str) -> list[str]:
        """Return a list of texts, which may be empty."""
        found = self._parsed(name, list, example=example)
        if not all(isinstance(item, str) and item for item in found):
            self.refuse(name, "must be a list of texts", example=example)
        return [str(item) for item in found]

    def records(self, name: str, members: frozenset[str], *, example: str) -> list[dict[str, str]]:
        """Return a list of objects, each with exactly these members, which are texts; it may be empty."""
        found = self._parsed(name, list, example=example)
        for item in found:
            whole = isinstance(item, Mapping) and item.keys() == members
            if not whole or not all(isinstance(value, str) and value for value in item.values()):
                wanted = ", ".join(sorted(members))
                self.refuse(name, f"must be a list whose items have {wanted}, and nothing else", example=example)
        return [dict(item) for item in found]

    def mapping(self, name: str, *, example: str) -> dict[str, str]:
        """Return an object whose members are texts; it may be empty."""
        found = self._parsed(name, dict, example=example)
        return {str(key): str(value) for key, value in found.items()}

    def refuse(self, name: str, problem: str, *, example: str) -> NoReturn:
        """Refuse a setting."""
        full = f"{pulumi.get_project()}:{name}"
        raise pulumi.RunError(f"the setting {full} {problem}; write it in the stack's file, such as {full}: {example}")

    def _parsed(self, name: str, kind: type, *, example: str) -> Any:
        try:
            found = json.loads(self._config.get(name) or json.dumps(kind()))
        except ValueError:
            found = None
        if not isinstance(found, kind):
            self.refuse(name, f"must be {'a list' if kind is list else 'an object'}", example=example)
        return found
