"""A desk to hold ceremonies at: a project folder with a token, custodians' key files, and the command."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.softhsm import SoftHsmToken

Run = Callable[..., tuple[int, Any]]
KEYRUNG = str(Path(sys.prefix, "bin", "keyrung"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A project folder with a token, three custodians, and the command."""

    root: Path
    token: SoftHsmToken
    run: Run = field(repr=False)

    @property
    def uri(self) -> str:
        return f"pkcs11:token={self.token.label};object=kek"

    @property
    def access(self) -> tuple[str, ...]:
        settings = self.token.settings()
        return ("--module", settings["pkcs11Module"], "--pin", settings["pkcs11Pin"])

    def recipients(self, name: str = "custodian") -> list[str]:
        """Make three custodians' keys and return to whom shares are sealed."""
        found = []
        for number in (1, 2, 3):
            path = self.root / f"{name}-{number}"
            code, made = self.run("custodian", "keygen", "--out", str(path), "--passphrase", "none")
            assert code == 0, made
            found.append(made["recipient"])
        return found

    def create(self, recipients: Sequence[str], *more: str, purpose: str = "policy-signing") -> tuple[int, Any]:
        """Escrow the key with a threshold of two."""
        named = [part for recipient in recipients for part in ("--recipient", recipient)]
        return self.run(
            "escrow", "create", self.uri, "--purpose", purpose, "--threshold", "2", *named, *self.access, *more
        )

    def open(self, envelope: str, *numbers: int) -> list[str]:
        paths = []
        for number in numbers:
            path = str(self.root / f"share-{number}")
            key = str(self.root / f"custodian-{number}")
            code, opened = self.run(
                "escrow", "share", "open", envelope, "--key", key, "--out", path, "--passphrase", "none"
            )
            assert (code, opened["index"]) == (0, number)
            paths.append(path)
        return paths

    def share_options(self, paths: Sequence[str]) -> list[str]:
        return [part for path in paths for part in ("--share", path)]

    def keyrung(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command as people do."""
        return subprocess.run([KEYRUNG, *arguments], cwd=self.root, capture_output=True, text=True, timeout=120)
