"""Escrow envelopes as files in one folder, readable by their owner only."""

from dataclasses import dataclass
from pathlib import Path

from keyrung_infra.files import write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowFolder:
    """An `EnvelopeStore` in ``folder``."""

    folder: Path

    @staticmethod
    def file_name(name: str) -> str:
        """Return the name of the file that holds the envelope called ``name``."""
        return f"{name}.escrow.json"

    def path(self, name: str) -> Path:
        """Return where the envelope called ``name`` is."""
        return self.folder / self.file_name(name)

    def read(self, name: str) -> bytes | None:
        """Return the envelope's bytes, or None when there is none."""
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Store the envelope, durably."""
        write_private(self.path(name), data)

    def remove(self, name: str) -> None:
        """Remove the envelope."""
        self.path(name).unlink(missing_ok=True)
