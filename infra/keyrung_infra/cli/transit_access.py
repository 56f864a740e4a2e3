"""Options that say how a Transit server is reached, for commands that may need one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.registry import open_manager


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitAccess:
    """How to reach a Transit server, or that none was named."""

    address: str | None
    token: str | None
    ca: str | None

    def stores(self, scheme: str) -> KeyManager | None:
        """Return the back end of the scheme `transit`, if a server was named; nothing is contacted yet."""
        settings = {"transitAddress": self.address, "transitToken": self.token, "transitCaFile": self.ca}
        given = {name: value for name, value in settings.items() if value is not None}
        if scheme != "transit" or not given:
            return None
        return open_manager("transit", given, root=Path.cwd())


def transit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the three options, as one argument ``transit``."""

    @click.option("--transit-address", help="https address of OpenBao or Vault: a literal, file:PATH or env:NAME.")
    @click.option("--transit-token", help="Token for it, as file:PATH or env:NAME.")
    @click.option("--transit-ca", help="PEM file of the authority behind its certificate.")
    @wraps(command)
    def with_transit(
        *args: Any, transit_address: str | None, transit_token: str | None, transit_ca: str | None, **kwargs: Any
    ) -> Any:
        transit = TransitAccess(address=transit_address, token=transit_token, ca=transit_ca)
        return command(*args, transit=transit, **kwargs)

    return with_transit
