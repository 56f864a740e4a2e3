"""`keyrung demo` when something is in its way: it says which step failed and why, and the next run works."""

import json
import signal
import socket
import subprocess
from typing import Any
from urllib.parse import urlsplit

from support.project import Project
from support.serving import START_SECONDS, events, log_report, serving, url_of


def _story(project: Project) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((project.state / "demo.json").read_text())
    return told


def test_a_mistake_in_the_policy_is_told_with_its_place_and_once_it_is_mended_the_story_ends_well(
    deployed: Project,
) -> None:
    catalogue = deployed.root / "policies" / "catalog" / "bank.yaml"
    right = catalogue.read_text()
    catalogue.write_text(right.replace("default: deny", "default: allow"))
    done = deployed.keyrung("demo", check=False)
    assert done.returncode == 1
    assert "bank.yaml:3" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    told = _story(deployed)
    assert told["ok"] is False
    assert [step["ok"] for step in told["steps"]] == [True, False]
    assert told["steps"][-1]["step"].startswith("pulumi up")

    catalogue.write_text(right)
    deployed.keyrung("demo")
    assert _story(deployed)["ok"] is True


def test_a_taken_port_is_told_by_the_step_that_needs_it(deployed: Project) -> None:
    address = ("127.0.0.1", urlsplit(url_of(deployed)).port or 0)
    with socket.create_server(address):
        done = deployed.keyrung("demo", "--json", check=False)
    assert done.returncode == 1
    assert f"port {address[1]} is taken" in json.loads(done.stdout)["error"]["message"]
    failed = _story(deployed)["steps"][-1]
    assert (failed["step"], failed["ok"]) == ("the verifier and a bank's API behind the guard are running", False)


def test_when_it_is_ended_in_the_middle_its_servers_end_with_it(deployed: Project) -> None:
    process = subprocess.Popen(
        ["keyrung", "demo"],
        cwd=deployed.root,
        env=deployed.environment() | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if "are running" in line:
                process.send_signal(signal.SIGTERM)
                break
        _, said = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert _story(deployed)["ok"] is False
    assert events(deployed)[-1] == "verifier.stopped"
    with serving(deployed):
        assert log_report(deployed)["ok"]
