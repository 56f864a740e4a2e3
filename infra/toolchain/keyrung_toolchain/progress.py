"""One line that tells a waiting person what takes long and for how long it has.

On a terminal the line counts seconds. Elsewhere, in a log, there is a line at the start, one every half minute and
one at the end. What is over within a few seconds prints nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

QUIET_SECONDS = 3.0
TERMINAL_INTERVAL_SECONDS = 1.0
LOG_INTERVAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Writes progress to `stream`.

    Attributes:
        stream: Where to write, usually stderr.
        quiet_seconds: How long a step may take without a word.
        interval_seconds: How often the line is renewed; by default what suits the stream.
        clock: Returns seconds that only grow.
    """

    stream: TextIO
    quiet_seconds: float = QUIET_SECONDS
    interval_seconds: float | None = None
    clock: Callable[[], float] = field(default=time.monotonic)

    def say(self, text: str) -> None:
        """Write one line."""
        print(text, file=self.stream, flush=True)

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Tell about what happens inside the `with` block, if it takes long."""
        ended = threading.Event()
        teller = threading.Thread(target=self._tell, args=(label, self.clock(), ended), daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()

    def _tell(self, label: str, start_seconds: float, ended: threading.Event) -> None:
        if ended.wait(self.quiet_seconds):
            return
        terminal = self.stream.isatty()
        interval = self.interval_seconds or (TERMINAL_INTERVAL_SECONDS if terminal else LOG_INTERVAL_SECONDS)
        line = f"{label} ..."
        self._write(line, terminal)
        while not ended.wait(interval):
            line = f"{label} ... {self.clock() - start_seconds:.0f} s"
            self._write(line, terminal)
        done = f"{label}: {self.clock() - start_seconds:.0f} s"
        self.say(f"\r{done.ljust(len(line))}" if terminal else done)

    def _write(self, line: str, terminal: bool) -> None:
        self.stream.write(f"\r{line}" if terminal else f"{line}\n")
        self.stream.flush()
