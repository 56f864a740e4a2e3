"""The policy pack in the real engine: what a preview lets through, and what it refuses."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.project import REPOSITORY

from keyrung_infra.tools import Tools

PACK = REPOSITORY / "policies" / "guardrails"
SOUND = """
Key("signing", purpose=Purpose.ASSERTION_SIGNING, vault="transit:mount=k", key_name="sign", cryptoperiod_days=365)
custodians = [Custodian(name, recipient=f"transit:mount={name};name=share") for name in ("first", "second")]
Key("kek", purpose=Purpose.KEK, vault="pkcs11:token=k", key_name="kek", algorithm="AES-256", cryptoperiod_days=365,
    escrow=Escrow("offline", threshold=2, custodians=custodians))
"""
WEAK = """
Key("soft", purpose=Purpose.POLICY_SIGNING, vault="software:folder=keys", key_name="soft", cryptoperiod_days=365)
Key("ageless", purpose=Purpose.POLICY_SIGNING, vault="transit:mount=keyrung", key_name="ageless")
Key("lost", purpose=Purpose.KEK, vault="transit:mount=k", key_name="lost", algorithm="AES-256", cryptoperiod_days=365)
Key("leaving", purpose=Purpose.AUDIT_SIGNING, vault="pkcs11:token=keyrung", key_name="leaving", cryptoperiod_days=365,
    copy_to="awskms:region=eu-central-1;alias=leaving")
"""
Preview = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def preview(tools: Tools, tmp_path: Path) -> Preview:
    """Previews a program of ours under the pack, without any key store."""
    project, backend = tmp_path / "project", tmp_path / "backend"
    project.mkdir()
    backend.mkdir()
    (project / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    (project / "Pulumi.yaml").write_text(
        "name: guarded\nruntime: {name: python, options: {virtualenv: .venv}}\n"
        f"plugins: {{providers: [{{name: keyrung, path: {REPOSITORY / 'infra' / 'plugin'}}}]}}\n"
    )
    environment = {
        "PATH": f"{tools.pulumi_folder}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PULUMI_HOME": str(tmp_path / "pulumi-home"),
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "of a stack without secrets",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }

    def pulumi(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", "--non-interactive", "--color", "never", *arguments]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=240)

    def run(keys: str) -> subprocess.CompletedProcess[str]:
        imports = (
            "from keyrung_infra.resources import Custodian, Escrow, Key\nfrom keyrung_provisioners.api import Purpose\n"
        )
        (project / "__main__.py").write_text(imports + keys)
        assert pulumi("stack", "select", "--create", "production").returncode == 0
        return pulumi("preview", "--policy-pack", str(PACK))

    return run


def test_a_sound_stack_passes(preview: Preview) -> None:
    done = preview(SOUND)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "keyrung-production" in done.stdout


def test_each_weak_key_is_refused_by_the_rule_it_breaks(preview: Preview) -> None:
    done = preview(WEAK)

    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    for rule, key in [
        ("no-software-key", "soft"),
        ("generation-age-set", "ageless"),
        ("kek-escrowed", "lost"),
        ("no-extractable-signing-key", "leaving"),
    ]:
        assert f"{rule} (keyrung:index:Key: {key})" in said, done.stdout
