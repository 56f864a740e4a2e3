"""`keyrung doctor`: a healthy deployment passes, and each thing that can be wrong is found and told with its fix."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.project import Project

from keyrung_infra.cli.key_stores import Stores
from keyrung_infra.doctor.deployment import Deployment, read_deployment
from keyrung_infra.doctor.examine import examination
from keyrung_infra.errors import InfraError

pytestmark = pytest.mark.xdist_group("e2e")

_CHECKS = ["files", "inventory", "keys", "configuration", "audit", "tls", "clock", "key set", "policy"]
_STACK = "local"


@pytest.fixture
def deployed(verifier: Project, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The demo's deployment, its verifier running, and this process in its environment."""
    for name, value in verifier.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(verifier.root)
    return read_deployment(verifier.root, _STACK)


def _found(deployment: Deployment, **changed: Any) -> Mapping[str, list[tuple[str, str]]]:
    """Return what is wrong, by check."""
    options: dict[str, Any] = {"authority": None, "url": None, "now": datetime.now(UTC)} | changed
    checks = list(examination(deployment, Stores(stack=_STACK, given={}).manager, **options))
    assert [check.name for check in checks] == _CHECKS
    return {check.name: [(each.text, each.fix) for each in check.findings] for check in checks if check.findings}


def test_a_healthy_deployment_has_nothing_wrong_and_a_broken_one_exits_with_1(
    deployed: Deployment, verifier: Project
) -> None:
    assert _found(deployed) == {}
    told = verifier.keyrung("doctor", "-s", _STACK, "--json")
    document = json.loads(told.stdout)
    assert (document["format"], document["stack"], document["ok"]) == ("keyrung-doctor/v1", _STACK, True)
    assert [check["check"] for check in document["checks"]] == _CHECKS

    broken = verifier.keyrung("doctor", "-s", _STACK, "--url", "https://localhost:1", check=False)
    assert broken.returncode == 1
    assert "https://localhost:1 cannot be reached" in broken.stdout
    assert broken.stdout.count("start the verifier (locally: `keyrung serve`)") == 1
    assert broken.stdout.count("Connection refused") == 1
    rows = [line.split() for line in broken.stdout.splitlines()]
    assert [row[0] for row in rows if "skipped" in row] == ["clock", "key", "policy"]
    as_json = json.loads(
        verifier.keyrung("doctor", "-s", _STACK, "--url", "https://localhost:1", "--json", check=False).stdout
    )
    assert [check["check"] for check in as_json["checks"] if not check["ok"]] == ["tls", "clock", "key set", "policy"]
    assert all(check["findings"] for check in as_json["checks"] if not check["ok"])


@contextmanager
def _open_to_others(deployment: Deployment) -> Iterator[None]:
    pin = deployment.root / ".keyrung/softhsm/pin"
    pin.chmod(0o640)
    yield
    pin.chmod(0o600)


@contextmanager
def _away(path: Path) -> Iterator[None]:
    path.rename(path.with_suffix(".away"))
    yield
    path.with_suffix(".away").rename(path)


@contextmanager
def _rewritten(path: Path, text: str) -> Iterator[None]:
    before = path.read_text()
    path.write_text(text)
    yield
    path.write_text(before)


@contextmanager
def _inventory_says(deployment: Deployment, change: str) -> Iterator[None]:
    """Have the inventory say something else of the audit key; it is put back as it was."""
    with closing(sqlite3.connect(deployment.root / ".keyrung/inventory.db")) as connection:
        before = connection.execute("SELECT fingerprint, state FROM keys WHERE purpose = 'audit-signing'").fetchone()
        connection.execute(f"UPDATE keys SET {change} WHERE purpose = 'audit-signing'")  # noqa: S608 - the test's own
        connection.commit()
        yield
        connection.execute("UPDATE keys SET fingerprint = ?, state = ? WHERE purpose = 'audit-signing'", before)
        connection.commit()


_STATE = ".keyrung"
Break = Callable[[Deployment], AbstractContextManager[None]]
_BROKEN: dict[str, tuple[Break, dict[str, tuple[str, str]]]] = {
    "a secret that others can read": (_open_to_others, {"files": ("others can reach", "chmod go-rwx")}),
    "a setting that names nothing": (
        lambda d: _away(d.root / _STATE / "clients/sample-api"),
        {"files": ("sample-api is missing", "put it back")},
    ),
    "an inventory that is gone": (
        lambda d: _away(d.root / _STATE / "inventory.db"),
        {
            "inventory": ("there is no key inventory", "restore the one that belongs"),
            "keys": ("there is no key inventory", "restore the one that belongs"),
        },
    ),
    "an inventory of another time": (
        lambda d: _inventory_says(d, "fingerprint = 'other'"),
        {
            "inventory": ("the inventory has as other generation 1 of audit-signing", "restore the inventory"),
            "keys": ("is recorded with thumbprint other", "find out who replaced it"),
        },
    ),
    "a compromised key": (
        lambda d: _inventory_says(d, "state = 'compromised'"),
        {"inventory": ("is compromised, and the verifier was told that it is active", "`pulumi refresh`")},
    ),
    "a configuration that somebody changed": (
        lambda d: _rewritten(d.root / _STATE / "verifier/config.json", d.document + "\n"),
        {"configuration": ("is not as it was deployed", "write it again")},
    ),
    "checkpoints that are gone": (
        lambda d: _away(d.root / _STATE / "verifier/checkpoints.jsonl"),
        {"audit": ("could not be looked at", "give a readable log")},
    ),
}


@pytest.mark.parametrize("what", _BROKEN)
def test_what_is_broken_is_found_with_its_fix_and_mended_is_forgotten(deployed: Deployment, what: str) -> None:
    damage, expected = _BROKEN[what]
    with damage(deployed):
        found = _found(deployed)
    for check, (text, fix) in expected.items():
        assert text in found[check][0][0]
        assert fix in found[check][0][1]
    assert _found(deployed) == {}


def test_what_comes_with_time_is_found(deployed: Deployment) -> None:
    in_an_hour = _found(deployed, now=datetime.now(UTC) + timedelta(hours=1))
    assert re.search(r"clock and this machine's are 3[56]\d\d s apart", in_an_hour["clock"][0][0])
    later = _found(deployed, now=datetime.now(UTC) + timedelta(days=4000))
    assert "the policy expires" in later["policy"][0][0]
    assert any("is overdue for rotation" in text for text, _ in later["keys"])
    assert "`pulumi up`" in later["keys"][0][1]
    assert "the certificate of https://localhost" in later["tls"][0][0]


def test_a_verifier_that_is_not_the_deployed_one_is_found(deployed: Deployment) -> None:
    document = deployed.document.replace(deployed.parsed()["assertion_keys"][0]["thumbprint"], "T" * 43)
    policy = {**deployed.policy, "policy": "{}"}
    found = _found(replace(deployed, document=document, policy=policy))
    assert {text.partition(" T")[0] for text, _ in found["key set"]} >= {"the verifier does not publish"}
    assert any("which nobody deployed" in text for text, _ in found["key set"])
    assert "the verifier decides by the policy sha-256:" in found["policy"][0][0]


def test_a_certificate_of_another_authority_does_not_count(deployed: Deployment) -> None:
    other = deployed.root / _STATE / "verifier" / "config.json"
    with pytest.raises(InfraError, match="holds no certificate of an authority"):
        _found(deployed, authority=other)
    own = Path(deployed.root / _STATE / "tls/server.pem")  # a certificate, but of no authority
    found = _found(deployed, authority=own)
    assert "does not count" in found["tls"][0][0]
    assert found["clock"][0][0] == "not looked at: the verifier's certificate does not count (see tls)"


def test_a_stack_that_is_not_deployed_is_one_clear_error(verifier: Project) -> None:
    refused = verifier.keyrung("doctor", "-s", "nowhere", check=False)
    assert refused.returncode != 0
    assert "pulumi gives no state of the stack nowhere" in refused.stderr
