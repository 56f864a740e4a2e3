"""Options that say how the store of a key is reached; what is not given comes from the project's stack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click

from keyrung_infra.errors import InfraError
from keyrung_infra.keys.access import stack_settings
from keyrung_infra.project import find_root
from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.registry import open_manager

_OPTIONS = {
    "pkcs11Module": ("--module", "PKCS#11 module: a path, file:PATH or env:NAME."),
    "pkcs11Pin": ("--pin", "The token's user PIN, as file:PATH or env:NAME."),
    "transitAddress": ("--transit-address", "https address of OpenBao or Vault: a literal, file:PATH or env:NAME."),
    "transitToken": ("--transit-token", "Token for it, as file:PATH or env:NAME."),
    "transitCaFile": ("--transit-ca", "PEM file of the authority behind its certificate."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores that a command may reach."""

    stack: str | None
    given: Mapping[str, str]
    _managers: dict[str, KeyManager] = field(default_factory=dict, repr=False)

    def manager(self, scheme: str) -> KeyManager:
        """Return the back end of ``scheme``, one for each: a second one would try a wrong PIN again."""
        if scheme not in self._managers:
            root, settings = self._project()
            self._managers[scheme] = open_manager(scheme, {**settings, **self.given}, root=root)
        return self._managers[scheme]

    def _project(self) -> tuple[Path, Mapping[str, str]]:
        try:
            root = find_root()
        except InfraError:  # a store can be asked from anywhere, if it is said how
            return Path.cwd(), {}
        try:
            return root, stack_settings(root, self.stack)
        except InfraError:
            if self.stack is not None or not self.given:
                raise
            return root, {}


def _from_here(name: str, value: str) -> str:
    """Return an option with its path made absolute: what is typed starts here, what the stack says at the project."""
    if name == "transitCaFile":
        return str(Path.cwd() / value)
    kind, separator, path = value.partition(":")
    return f"file:{Path.cwd() / path}" if separator and kind == "file" else value


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the options, as one argument ``stores``."""

    @wraps(command)
    def with_stores(*args: Any, stack: str | None, **kwargs: Any) -> Any:
        named = {
            name: kwargs.pop(option.removeprefix("--").replace("-", "_")) for name, (option, _) in _OPTIONS.items()
        }
        given = {name: _from_here(name, value) for name, value in named.items() if value is not None}
        return command(*args, stores=Stores(stack=stack, given=given), **kwargs)

    decorated: Callable[..., Any] = with_stores
    for option, text in reversed(_OPTIONS.values()):
        decorated = click.option(option, help=f"{text} [default: as the stack says]")(decorated)
    return click.option(
        "--stack", "-s", help="Stack whose settings say how stores are reached. [default: the only one]"
    )(decorated)
