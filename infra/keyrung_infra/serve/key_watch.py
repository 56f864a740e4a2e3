"""What the inventory says of a key at this moment, asked before each use of it.

So a key that is suspended, deactivated or compromised is refused from the next use on, not from the next restart on.
One open connection makes the question cheap: some microseconds beside a signature's hundreds.
"""

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keyrung_provisioners.api import Purpose
from keyrung_provisioners.errors import BackendUnavailableError, KeyRefusedError
from keyrung_provisioners.states import KeyState
from keyrung_provisioners.uri import KeyUri

# The living row of a name is found by its index; only without one are the destroyed rows looked through.
_QUESTION = """
SELECT (SELECT max(position) FROM events),
       coalesce((SELECT state FROM keys WHERE uri = ?1 AND generation = ?2 AND state <> 'destroyed'),
                (SELECT state FROM keys WHERE uri = ?1 AND generation = ?2 LIMIT 1))
"""
_PURPOSE = "SELECT DISTINCT purpose FROM keys WHERE uri = ?1 AND generation = ?2"
_NEWEST = "SELECT max(position) FROM events"
# A key that was ever compromised counts no more after its destruction either.
_COUNTING = """
SELECT fingerprint FROM keys WHERE fingerprint IS NOT NULL AND state <> 'compromised'
EXCEPT SELECT fingerprint FROM events WHERE event = 'key.compromised'
"""


class KeyWatch:
    """States of keys, safe for several threads."""

    def __init__(self, inventory: Path, *, on_news: Callable[[], None] = lambda: None) -> None:
        """Ask the file ``inventory``.

        ``on_news`` is called before a state is given that may differ from an earlier one: what happened to keys goes
        into the audit log before anything that was done with them afterwards.
        """
        self._inventory = inventory
        self._path = str(inventory)  # asked for again and again
        self._on_news = on_news
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._newest: int | None = None
        self._counting: tuple[int | None, frozenset[str]] | None = None

    def state(self, uri: KeyUri, generation: int) -> KeyState:
        """Return the state of the key.

        Raises:
            KeyRefusedError: The inventory has no such key.
            BackendUnavailableError: The inventory cannot be read.
        """
        newest, state = self._ask(_QUESTION, str(uri), generation)[0]
        self._tell(newest)
        if state is None:
            raise KeyRefusedError(
                f"the inventory has no generation {generation} of {uri}",
                fix="deploy the stack with `pulumi up`",
                uri=str(uri),
            )
        return KeyState(state)

    def require(self, uri: KeyUri, generation: int, *allowed: KeyState) -> None:
        """Raise `KeyRefusedError` unless the key is in one of the states ``allowed``; also what `state` raises."""
        state = self.state(uri, generation)
        if state not in allowed:
            raise KeyRefusedError(
                f"{uri} is {state}", fix=f"use a key that is {' or '.join(allowed)}", uri=str(uri), state=state
            )

    def require_purpose(self, uri: KeyUri, generation: int, purpose: Purpose) -> None:
        """Raise `KeyRefusedError` unless the key was made for ``purpose`` alone (SP 800-57 part 1, 5.2)."""
        made_for = {found for (found,) in self._ask(_PURPOSE, str(uri), generation)}
        if made_for != {purpose.value}:
            known = f"for {' and '.join(sorted(made_for))}" if made_for else "not in the inventory"
            raise KeyRefusedError(
                f"{uri} is configured for {purpose} and is {known}",
                fix="declare a key of that purpose, and run `pulumi up`",
                uri=str(uri),
            )

    def counts(self, thumbprint: str) -> bool:
        """Return whether what the key signed may count: the inventory has it, and it was never compromised.

        Raises:
            BackendUnavailableError: The inventory cannot be read.
        """
        newest = self._ask(_NEWEST)[0][0]
        self._tell(newest)
        known = self._counting
        if known is None or known[0] != newest:  # events are appended in the transaction of what they tell
            known = newest, frozenset(found for (found,) in self._ask(_COUNTING))
            self._counting = known
        return thumbprint in known[1]

    def _tell(self, newest: int | None) -> None:
        if newest != self._newest:
            self._on_news()
            self._newest = newest

    def _ask(self, question: str, *values: str | int) -> list[Any]:
        with self._lock:
            try:
                return self._opened().execute(question, values).fetchall()
            except (sqlite3.Error, OSError) as error:
                self._connection = None
                raise BackendUnavailableError(
                    f"the key inventory {self._inventory} cannot be read ({error})",
                    fix="check its place and permissions",
                ) from error

    def _opened(self) -> sqlite3.Connection:
        """Return a connection to the file that stands there now: one that was moved away would be asked for ever."""
        found = os.stat(self._path)  # only a file that is there: one made anew would know no key, and be nobody's
        file = (found.st_dev, found.st_ino)
        if self._connection is not None and file != self._file:
            self._connection.close()
            self._connection = None
        if self._connection is None:
            name = f"{self._inventory.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False)
            self._file, self._newest, self._counting = file, None, None
        return self._connection
