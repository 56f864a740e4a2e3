"""A preview needs nothing but the passphrase: no server, no token, no secret; and it makes nothing."""

import json
import os
import subprocess
from pathlib import Path

from support.project import copy_program

from keyrung_infra.local.layout import PULUMI_PASSPHRASE
from keyrung_infra.tools import Tools

_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def test_a_preview_without_any_back_end_shows_the_plan_and_makes_nothing(tools: Tools, tmp_path: Path) -> None:
    project, backend = tmp_path / "project", tmp_path / "backend"
    project.mkdir()
    backend.mkdir()
    copy_program(project)
    environment = {
        "PATH": f"{tools.pulumi_folder}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PULUMI_HOME": str(tmp_path / "pulumi-home"),  # without it the engine looks up the account's home folder
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": PULUMI_PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }

    def pulumi(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", "--non-interactive", "--color", "never", *arguments]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=60)

    assert pulumi("stack", "init", "local").returncode == 0
    before = sorted(project.rglob("*"))
    done = pulumi("preview", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [step for step in json.loads(done.stdout)["steps"] if ":keyrung:index:" in step["urn"]]
    assert [step["op"] for step in steps] == ["create"] * 8
    inputs = {step["urn"].rpartition("::")[2]: step["newState"]["inputs"] for step in steps}
    assert inputs["policies"]["signingKey"] == _UNKNOWN  # which generation is in use is said when it was made
    assert inputs["policies"]["signingKeyPem"] == _UNKNOWN
    assert inputs["verifier"]["document"] == _UNKNOWN
    assert not (project / ".keyrung").exists()
    assert sorted(path for path in project.rglob("*") if "__pycache__" not in path.parts) == before

    environment["PULUMI_CONFIG_PASSPHRASE"] = "wrong"
    done = pulumi("preview")
    assert done.returncode != 0
    assert "incorrect passphrase" in done.stdout + done.stderr
    del environment["PULUMI_CONFIG_PASSPHRASE"]
    done = pulumi("preview")
    assert done.returncode != 0
    assert "PULUMI_CONFIG_PASSPHRASE" in done.stdout + done.stderr
