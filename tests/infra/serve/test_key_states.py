"""A key's state counts from the next use on, while the verifier runs; and the log shows it in the right order."""

import json

import httpx
from support.project import Project
from support.serving import (
    REQUEST,
    application,
    challenge,
    enrol_app,
    events,
    log_report,
    question,
    serving,
    unused_code,
)

_ASSERTION_KEY = "pkcs11:token=keyrung;object=assertion-signing-local"
_SEED_KEY = "transit:mount=keyrung;name=credential-seed-local"
_JWKS = "/.well-known/jwks.json"


def _answer(project: Project, http: httpx.Client, subject: str) -> httpx.Response:
    """Enrol ``subject`` and answer a challenge of theirs rightly."""
    _, app = enrol_app(project, subject)
    uri = challenge(http, subject)
    return http.post(f"{uri}/response", json={"factor": "otp", "code": unused_code(app)})


def _spend(http: httpx.Client, subject: str, assertion: str) -> httpx.Response:
    body = {**question(subject), "assertion": assertion, "request": REQUEST}
    return http.post("/stepup/v1/assertions/spend", json=body)


def test_a_suspended_key_signs_nothing_until_it_is_resumed_and_the_log_stays_good(deployed: Project) -> None:
    with serving(deployed), application(deployed) as http:
        deployed.keyrung("key", "suspend", _ASSERTION_KEY)
        refused = _answer(deployed, http, "eve")
        assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
        assert http.get(_JWKS).json() == {"keys": []}
        deployed.keyrung("key", "resume", _ASSERTION_KEY)
        answered = _answer(deployed, http, "mallory")
        assert answered.status_code == 200, answered.text
        assert _spend(http, "mallory", answered.json()["assertion"]).status_code == 200
    written = events(deployed)
    assert written.index("key.suspended") < written.index("key.resumed")
    assert written[written.index("key.resumed") :].count("assertion.issued") == 1  # the one that was signed
    report = log_report(deployed)
    assert report["ok"], report


def test_what_a_deactivated_key_signed_still_counts_and_a_compromised_ones_no_more(deployed: Project) -> None:
    with serving(deployed), application(deployed) as http:
        first, second = (_answer(deployed, http, subject).json()["assertion"] for subject in ("eve", "mallory"))
        deployed.keyrung("key", "deactivate", _ASSERTION_KEY)
        assert _answer(deployed, http, "trudy").status_code == 503
        assert len(http.get(_JWKS).json()["keys"]) == 1
        assert _spend(http, "eve", first).status_code == 200
        deployed.keyrung("key", "compromise", _ASSERTION_KEY, "--yes")
        refused = _spend(http, "mallory", second)
        assert refused.status_code in (401, 403), refused.text
        assert http.get(_JWKS).json() == {"keys": []}
    assert events(deployed).count("key.compromised") == 1
    report = log_report(deployed)
    assert report["ok"], report


def test_a_deactivated_seed_key_opens_seeds_and_seals_no_new_one_a_suspended_one_does_neither(
    deployed: Project,
) -> None:
    _, app = enrol_app(deployed, "eve")
    with serving(deployed), application(deployed) as http:
        deployed.keyrung("key", "suspend", _SEED_KEY)
        uri, code = challenge(http, "eve"), unused_code(app)
        assert http.post(f"{uri}/response", json={"factor": "otp", "code": code}).status_code == 503
        deployed.keyrung("key", "deactivate", _SEED_KEY)
        assert http.post(f"{uri}/response", json={"factor": "otp", "code": code}).status_code == 200
        added = deployed.keyrung("credential", "add", "totp", "mallory", check=False)
        assert added.returncode == 1
        assert f"{_SEED_KEY} is deactivated" in added.stderr


def test_a_refresh_shows_the_state(deployed: Project) -> None:
    deployed.keyrung("key", "suspend", _ASSERTION_KEY)
    deployed.pulumi("refresh", "--yes", "--skip-preview")
    exported = deployed.pulumi_json("stack", "export")["deployment"]["resources"]
    found = {item["id"]: item["outputs"]["state"] for item in exported if item["type"] == "keyrung:index:Key"}
    assert found[_ASSERTION_KEY] == "suspended"


def test_a_compromised_policy_key_signs_no_policy_and_its_bundle_is_loaded_no_more(deployed: Project) -> None:
    deployed.keyrung("key", "compromise", "transit:mount=keyrung;name=policy-signing-local", "--yes")
    catalogue = deployed.root / "policies" / "catalog" / "bank.yaml"
    catalogue.write_text(catalogue.read_text().replace("max_age: 5m", "max_age: 4m"))
    done = deployed.pulumi("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert "is compromised, and only an active key signs a policy" in done.stdout + done.stderr
    with serving(deployed), application(deployed) as http:
        assert http.post("/access/v1/evaluation", json=question("eve")).status_code == 503
    assert "policy.refused" in events(deployed)
    assert log_report(deployed)["ok"]


def test_a_policy_key_that_is_compromised_ends_the_policy_in_force_with_the_next_request(deployed: Project) -> None:
    with serving(deployed), application(deployed) as http:
        assert http.post("/access/v1/evaluation", json=question("eve")).status_code == 200
        deployed.keyrung("key", "compromise", "transit:mount=keyrung;name=policy-signing-local", "--yes")
        assert http.post("/access/v1/evaluation", json=question("eve")).status_code == 503
    written = events(deployed)
    assert written.index("key.compromised") < written.index("policy.refused")
    assert log_report(deployed)["ok"]


def test_a_verifier_signs_assertions_with_no_key_that_was_made_for_something_else(deployed: Project) -> None:
    config = deployed.state / "verifier" / "config.json"
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "assertion_keys": document["audit_keys"]}))
    done = deployed.keyrung("serve", check=False)
    assert done.returncode == 1
    assert "is configured for assertion-signing and is for audit-signing" in done.stderr
