"""What goes wrong while `keyrung serve` runs: nothing is granted meanwhile, and it recovers by itself."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from support.openbao import kill_server
from support.project import Project
from support.serving import (
    START_SECONDS,
    application,
    challenge,
    enrol_app,
    events,
    log_report,
    question,
    seal,
    serving,
    unused_code,
)

_EVALUATION = "/access/v1/evaluation"


def _within_seconds(answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("fail", [seal, lambda project: kill_server(project.stack.layout.openbao)])
def test_without_its_vault_no_code_is_taken_and_afterwards_the_same_code_counts(
    deployed: Project, fail: Callable[[Project], None]
) -> None:
    _, app = enrol_app(deployed, "eve")
    with serving(deployed), application(deployed) as http:
        uri, code = challenge(http, "eve"), unused_code(app)
        fail(deployed)
        refused = http.post(f"{uri}/response", json={"factor": "otp", "code": code})
        assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable"), refused.text
        assert "Retry-After" in refused.headers
        # Deciding needs no vault.
        assert http.post(_EVALUATION, json=question("eve")).json()["context"]["outcome"] == "step_up"
        deployed.stack.up()
        answered = http.post(f"{uri}/response", json={"factor": "otp", "code": code})
        assert answered.status_code == 200, answered.text
    assert log_report(deployed)["ok"]


def test_a_policy_that_is_deployed_while_it_runs_counts_at_once_and_ends_open_challenges(deployed: Project) -> None:
    catalogue = deployed.root / "policies" / "catalog" / "bank.yaml"
    _, app = enrol_app(deployed, "eve")
    with serving(deployed), application(deployed) as http:
        first = http.post(_EVALUATION, json=question("eve")).json()["context"]
        uri = challenge(http, "eve")
        catalogue.write_text(catalogue.read_text().replace("max_age: 5m", "max_age: 4m"))
        deployed.pulumi("up", "--yes", "--skip-preview")
        second = http.post(_EVALUATION, json=question("eve")).json()["context"]
        assert (first["max_age"], second["max_age"]) == (300, 240)
        assert first["policy_digest"] != second["policy_digest"]
        assert http.post(f"{uri}/response", json={"factor": "otp", "code": app.now()}).status_code == 403
        assert challenge(http, "eve")


def test_a_bundle_that_is_lost_or_damaged_keeps_the_last_good_one_in_force(deployed: Project) -> None:
    bundle = deployed.state / "verifier" / "policy-bundle.json"
    kept = bundle.read_bytes()
    with serving(deployed), application(deployed) as http:
        first = http.post(_EVALUATION, json=question("eve")).json()["context"]
        for damage in (bundle.unlink, lambda: bundle.write_bytes(kept.replace(b"A", b"B", 1))):
            damage()
            again = http.post(_EVALUATION, json=question("eve")).json()["context"]
            assert again["policy_digest"] == first["policy_digest"]
    assert events(deployed).count("policy.refused") == 2
    assert log_report(deployed)["ok"]


def test_without_a_bundle_from_the_start_nothing_is_granted_until_one_is_there(deployed: Project) -> None:
    bundle = deployed.state / "verifier" / "policy-bundle.json"
    kept = bundle.read_bytes()
    bundle.unlink()
    with serving(deployed), application(deployed) as http:
        refused = http.post(_EVALUATION, json=question("eve", "accounts.read"))
        assert refused.status_code == 503
        assert "decision" not in refused.json()
        bundle.write_bytes(kept)
        _within_seconds(lambda: http.post(_EVALUATION, json=question("eve")).status_code == 200)


@pytest.fixture
def small_disk(deployed: Project) -> Iterator[Project]:
    """A project whose verifier works on a small file system of its own."""
    folder, aside = deployed.state / "verifier", deployed.state / "verifier-aside"
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(folder)]
    shutil.copytree(folder, aside)
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only a root that may mount file systems can make a small one")
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    yield deployed
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_grants_nothing_and_with_room_again_it_goes_on_whole(small_disk: Project) -> None:
    project, ballast = small_disk, small_disk.state / "verifier" / "ballast"
    _, app = enrol_app(project, "eve")
    with serving(project), application(project) as http:
        uri, code = challenge(http, "eve"), unused_code(app)
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 1024)
            except OSError:
                pass
        refusals: list[httpx.Response] = [
            http.post(f"{uri}/response", json={"factor": "otp", "code": code}),
            http.post(_EVALUATION, json=question("eve", "accounts.read")),
            http.post("/stepup/v1/challenges", json=question("eve")),
        ]
        assert [refused.status_code for refused in refusals] == [503] * 3, [refused.text for refused in refusals]
        assert not any({"assertion", "decision", "challenge_id"} & refused.json().keys() for refused in refusals)
        assert http.get("/healthz").status_code == 200
        ballast.unlink()
        assert http.post(_EVALUATION, json=question("eve", "accounts.read")).json()["decision"] is True
        assert http.post(f"{uri}/response", json={"factor": "otp", "code": code}).status_code == 200
    assert log_report(project)["ok"]
