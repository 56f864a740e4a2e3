"""Options that say how the stores of custodians are reached, for commands that seal to a key or open with one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from keyrung_infra.cli.transit_access import TransitAccess, transit_options
from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.registry import open_manager


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodianStores:
    """How to reach a Transit server and a PKCS#11 module, each or none of them named."""

    transit: TransitAccess
    module: str | None
    pin: str | None

    def open(self, scheme: str) -> KeyManager | None:
        """Return the back end of ``scheme``, if it was named; nothing is contacted yet."""
        if scheme != "pkcs11" or self.module is None:
            return self.transit.stores(scheme)
        return open_manager(scheme, {"pkcs11Module": self.module, "pkcs11Pin": self.pin or ""}, root=Path.cwd())


def custodian_store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` these options, as one argument ``stores``."""

    @transit_options
    @click.option("--custodian-module", help="PKCS#11 module of a custodian's token: a path, file:PATH or env:NAME.")
    @click.option("--custodian-pin", help="User PIN of that token, as file:PATH or env:NAME.")
    @wraps(command)
    def with_stores(
        *args: Any, transit: TransitAccess, custodian_module: str | None, custodian_pin: str | None, **kwargs: Any
    ) -> Any:
        stores = CustodianStores(transit=transit, module=custodian_module, pin=custodian_pin)
        return command(*args, stores=stores, **kwargs)

    return with_stores
