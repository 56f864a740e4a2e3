"""A project whose one key is escrowed, and its custodians."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.deployment import resources
from support.project import Project

_PROGRAM = """
from keyrung_infra.resources import Custodian, Escrow, Key, KeyVault
from keyrung_provisioners.api import Purpose

vault = KeyVault("vault", uri="pkcs11:token=keyrung")
custodians = [Custodian(name, recipient=recipient) for name, recipient in {custodians}.items()]
escrow = Escrow("escrow", threshold={threshold}, custodians=custodians, folder="{folder}")
Key("key", vault=vault.uri, key_name="policy-signing-one", purpose=Purpose("{purpose}"), algorithm="{algorithm}",
    generation={generation}, escrow={escrow}, deletion_protection={protected})
"""
URI = "pkcs11:token=keyrung;object=policy-signing-one"


@dataclass(frozen=True, slots=True)
class EscrowedProject:
    """A project, and what its program says of custodians."""

    project: Project
    purpose: str = "policy-signing"
    algorithm: str = "P-256"

    def custodians(self, *names: str) -> dict[str, str]:
        """Make a key for each of ``names`` and return the recipients."""
        return {name: self._custodian(name) for name in names}

    def _custodian(self, name: str) -> str:
        made = self.keyrung("custodian", "keygen", "--out", f"{name}.key", "--passphrase", "none")
        return str(made["recipient"])

    def declare(
        self,
        custodians: dict[str, str],
        *,
        threshold: int = 2,
        folder: str = ".keyrung/escrow",
        generation: int = 1,
        escrowed: bool = True,
        protected: bool = False,
    ) -> None:
        """Write the program."""
        text = _PROGRAM.format(
            custodians=custodians,
            threshold=threshold,
            folder=folder,
            generation=generation,
            escrow="escrow" if escrowed else None,
            protected=protected,
            purpose=self.purpose,
            algorithm=self.algorithm,
        )
        (self.project.root / "infra" / "__main__.py").write_text(text)

    def up(self, *arguments: str) -> None:
        """Deploy."""
        self.project.pulumi("up", "--yes", "--skip-preview", *arguments)

    def refused(self, command: str) -> str:
        """Return what is written when ``command`` is refused in one sentence."""
        more = () if command == "preview" else ("--yes", "--skip-preview")
        done = self.project.pulumi(command, *more, check=False)
        written = done.stdout + done.stderr
        assert done.returncode != 0
        assert "Traceback" not in written
        assert "unexpectedly" not in written
        return written

    def key(self) -> dict[str, Any]:
        """Return the key's outputs."""
        outputs: dict[str, Any] = resources(self.project)["key"]["outputs"]
        return outputs

    def envelopes(self, folder: str = ".keyrung/escrow") -> list[Path]:
        """Return the files of envelopes."""
        return sorted((self.project.root / folder).glob("*.escrow.json"))

    def open_shares(self, envelope: Path, names: Sequence[str]) -> list[str]:
        """Have each of ``names`` open the own share; return the options that hand them in."""
        for name in names:
            key = ("--key", f"{name}.key", "--passphrase", "none")
            self.keyrung("escrow", "share", "open", str(envelope), *key, "--out", f"{name}.share")
        return [part for name in names for part in ("--share", f"{name}.share")]

    def keyrung(self, *arguments: str) -> dict[str, Any]:
        """Run a command and return its answer."""
        answer: dict[str, Any] = json.loads(self.project.keyrung(*arguments, "--json").stdout)
        return answer
