"""The desk at which escrow ceremonies are held."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.escrow_desk import KEYRUNG, Desk
from support.softhsm import SoftHsmToken

from keyrung_infra.cli import main


@pytest.fixture
def desk(
    softhsm_token: SoftHsmToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    root = tmp_path / "project"
    root.mkdir()
    (root / "Pulumi.yaml").write_text("name: test\n")
    monkeypatch.chdir(root)

    def run(*arguments: str) -> tuple[int, Any]:
        """Run in this process what touches no token; a login counts for a whole process, so the rest gets its own."""
        if "--module" in arguments:
            done = subprocess.run([KEYRUNG, *arguments, "--json"], cwd=root, capture_output=True, text=True, timeout=60)
            return done.returncode, json.loads(done.stdout)
        capsys.readouterr()
        code = main.run([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return Desk(root=root, token=softhsm_token, run=run)
