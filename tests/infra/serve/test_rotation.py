"""Every key is rotated by `pulumi up` while the verifier runs under load: no request fails, and the log stays whole."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pyotp
from support.deployment import resources, set_plugin, states, token_objects, transit_keys
from support.project import Project
from support.serving import REQUEST, application, challenge, events, log_report, question, serving, unused_code

from keyrung_infra.serve.build import build_records
from keyrung_infra.serve.settings import read_settings

_JWKS = "/.well-known/jwks.json"
_SUBJECTS = 120
_PACE_SECONDS = 0.5  # a person's codes are good for one step-up in half a minute
_PUBLISH_SECONDS = 20
_WAIT_SECONDS = 120
# As deployed, but for the minute that clocks may differ: here is one clock only.
_PLUGIN = """
from keyrung_infra.provider.server import main
from keyrung_provisioners import generations

generations.SKEW_SECONDS = 1
main()
"""


@dataclass(kw_only=True)
class Load:
    """People who step up one after the other, each request as an application sends it."""

    http: httpx.Client
    apps: dict[str, pyotp.TOTP]
    signed_by: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            for subject in self.apps:
                if not stopped.wait(_PACE_SECONDS):
                    try:
                        self._step_up(subject)
                    except (AssertionError, httpx.HTTPError) as error:
                        self.failures.append(f"{len(self.signed_by)} {subject}: {error!r}")

    def _step_up(self, subject: str) -> None:
        uri = challenge(self.http, subject)
        answered = self.http.post(f"{uri}/response", json={"factor": "otp", "code": unused_code(self.apps[subject])})
        assert answered.status_code == httpx.codes.OK, answered.text
        assertion = answered.json()["assertion"]
        kid = jwt.get_unverified_header(assertion)["kid"]
        assert kid in {key["kid"] for key in self.http.get(_JWKS).json()["keys"]}
        body = {**question(subject), "assertion": assertion, "request": REQUEST}
        spent = self.http.post("/stepup/v1/assertions/spend", json=body)
        assert spent.status_code == httpx.codes.OK, spent.text
        self.signed_by.append(kid)


def _enrol(project: Project, count: int) -> dict[str, pyotp.TOTP]:
    """Provision an authenticator app for each of ``count`` people."""
    records = build_records(read_settings(project.state / "verifier" / "config.json"), project.root)
    records.audit.open()
    records.key_events.hand_over(records.audit)
    apps = {}
    for number in range(count):
        made = records.credentials.add_totp(f"person {number}", sealer=records.sealer, issuer_name="Test")
        apps[f"person {number}"] = pyotp.TOTP(parse_qs(urlsplit(made.otpauth_uri).query)["secret"][0])
    records.store.close()
    return apps


@contextmanager
def _under_load(project: Project) -> Iterator[Load]:
    apps = _enrol(project, _SUBJECTS)
    with serving(project), application(project) as http:
        load, stopped = Load(http=http, apps=apps), threading.Event()
        worker = threading.Thread(target=load.run, args=(stopped,))
        worker.start()
        try:
            _wait_for(lambda: len(load.signed_by) > 1 or load.failures != [])
            yield load
        finally:
            stopped.set()
            worker.join()


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def _kids(http: httpx.Client) -> set[str]:
    return {key["kid"] for key in http.get(_JWKS).json()["keys"]}


def test_every_key_is_rotated_under_load_without_one_failure(deployed: Project) -> None:
    set_plugin(deployed, _PLUGIN)
    old = resources(deployed)["assertion-signing"]["outputs"]["thumbprint"]
    deployed.pulumi("config", "set", "keyPublishSeconds", str(_PUBLISH_SECONDS))
    deployed.pulumi("config", "set", "keyOverlapSeconds", "1")
    with _under_load(deployed) as load, application(deployed) as http:
        deployed.pulumi("config", "set", "keyGeneration", "2")
        deployed.pulumi("up", "--yes", "--skip-preview")
        new = resources(deployed)["assertion-signing"]["outputs"]["thumbprint"]
        assert set(states(deployed).values()) == {"active"}
        _wait_for(lambda: _kids(http) == {old, new})  # published, without a restart
        assert load.signed_by[-1] == old
        _wait_for(lambda: load.signed_by[-1] == new)  # used, without anybody doing anything

        preview = deployed.pulumi("preview", "--diff")
        assert "generation 1 of assertion-signing-local becomes deactivated" in preview.stdout + preview.stderr
        deployed.pulumi("up", "--yes", "--skip-preview")
        assert sorted(states(deployed).values()) == ["active"] * 4 + ["deactivated"] * 4
        deployed.pulumi("up", "--yes", "--skip-preview")
        _wait_for(lambda: _kids(http) == {new})
        deployed.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
        seen = len(load.signed_by)
        _wait_for(lambda: len(load.signed_by) > seen + 2)
    assert load.failures == []
    assert load.signed_by == sorted(load.signed_by, key=[old, new].index)

    # What signed is gone; what sealed the seeds of people still opens them.
    assert sorted(states(deployed).values()) == ["active"] * 4 + ["deactivated"] + ["destroyed"] * 3
    assert token_objects(deployed) == ["private assertion-signing-local-g2", "public assertion-signing-local-g2"]
    assert transit_keys(deployed) == ["audit-signing-local", "credential-seed-local", "policy-signing-local"]
    assert events(deployed).count("audit-key.handed-over") == 1
    report = log_report(deployed)
    assert report["ok"], json.dumps(report, indent=2)
    deployed.pulumi("refresh", "--yes", "--skip-preview")
