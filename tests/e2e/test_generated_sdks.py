"""SDKs for other languages, generated from the provider's schema and compiled with a program that uses them.

The hosts that generate them come with the official distribution of the Pulumi CLI, which set-up takes wherever it can
be had; beside a CLI that was built from its modules these tests are skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import REPOSITORY

from keyrung_infra.tools import Tools

_TYPESCRIPT = """
import * as keyrung from "./index";

const key = new keyrung.Key("sign", {
    vault: "pkcs11:token=keyrung", name: "sign", purpose: "assertion-signing", algorithm: "P-256",
});
const stepUp = new keyrung.StepUp("stepup", {
    policy: "{}", package: "verifier.zip", deployerArn: "arn:aws:iam::123456789012:role/deployer",
    clients: [{ clientId: "api", audience: "https://api.example", principalArn: "arn:aws:iam::123456789012:role/api" }],
});
export const thumbprint = key.thumbprint;
export const url = stepUp.url;
"""
_PYTHON = """
import pulumi_keyrung as keyrung
assert keyrung.Key and keyrung.StepUp and keyrung.KeyVault
"""
_PLUGIN = REPOSITORY / "infra" / "plugin" / "pulumi-resource-keyrung"
_SECONDS = 300


def _generated(folder: Path, tools: Tools, language: str) -> Path:
    """Return the folder of the SDK; skip where there is no host that generates it."""
    if not (tools.pulumi.resolve().parent / "pulumi-language-nodejs").exists():
        pytest.skip("what generates SDKs comes with the official distribution of the Pulumi CLI only")
    (folder / "Pulumi.yaml").write_text("name: consumer\nruntime: nodejs\n")
    path = os.pathsep.join([str(tools.pulumi_folder), str(Path(sys.prefix, "bin")), os.environ["PATH"]])
    environment = {"PULUMI_HOME": str(folder / "home"), "PULUMI_SKIP_UPDATE_CHECK": "true", "PATH": path}
    command = [str(tools.pulumi), "package", "gen-sdk", str(_PLUGIN), "--language", language, "--out", "sdk"]
    _run(folder, *command, **environment)
    return folder / "sdk" / language


def _run(folder: Path, *command: str, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sdk_for_typescript_compiles_with_a_program_that_uses_it(tools: Tools, tmp_path: Path) -> None:
    sdk = _generated(tmp_path, tools, "nodejs")
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    (sdk / "program.ts").write_text(_TYPESCRIPT)
    _run(sdk, "npm", "install", "--no-audit", "--no-fund")
    _run(sdk, "npm", "run", "build")
    _run(sdk, "npx", "tsc", "--noEmit", "--target", "es2020", "--module", "commonjs", "program.ts")


def test_the_sdk_for_python_installs_and_is_imported(tools: Tools, tmp_path: Path) -> None:
    sdk, target = _generated(tmp_path, tools, "python"), tmp_path / "site"
    _run(sdk, sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--target", str(target), ".")
    _run(tmp_path, sys.executable, "-c", _PYTHON, PYTHONPATH=str(target))
