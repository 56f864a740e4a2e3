"""The sample bank as a process of its own: TLS on both sides, a real verifier, and nothing passes undecided."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from support.guarded import challenge_of
from support.tls_server import START_SECONDS, make_certificates, running_verifier
from support.verifier import CLIENT, ORIGIN, SettableClock, World, bundle_bytes

from keyrung_infra.errors import InfraError
from keyrung_infra.local.ports import free_ports
from keyrung_infra.sample_api.app import read_settings
from keyrung_infra.sample_api.sessions import read_sessions

ALICE, ROBOT = "a" * 43, "r" * 43
LARGE = {"amount_minor": 250000, "currency": "EUR", "payee": "Bob"}


class Bank:
    """A project folder with everything that the sample API reads, and the running process."""

    def __init__(self, folder: Path, *, verifier_url: str, **changes: object) -> None:
        (folder / "Pulumi.yaml").touch()
        (folder / "secret").write_text(f"{CLIENT.secret}\n")
        sessions = [
            {"token": ALICE, "subject_id": "alice", "session_id": "sid-1", "kind": "person"},
            {"token": ROBOT, "subject_id": "robot", "session_id": "sid-2", "kind": "machine"},
        ]
        (folder / "sessions.json").write_text(json.dumps(sessions))
        self.config = folder / "sample-api.json"
        settings = {
            "verifier_url": verifier_url,
            "verifier_ca": "tls-ca.pem",
            "issuer": ORIGIN,
            "audience": CLIENT.audience,
            "client_id": CLIENT.client_id,
            "client_secret": "file:secret",
            "certificate": "tls.pem",
            "key": "tls-key.pem",
            "sessions": "sessions.json",
        }
        self.config.write_text(json.dumps(settings | changes))
        self.ca = folder / "tls-ca.pem"

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "keyrung_infra.sample_api", "--config", str(self.config)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )

    @contextmanager
    def client(self, token: str = ALICE) -> Iterator[httpx.Client]:
        process = self.start()
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("https://localhost:"), process.communicate()
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(
                verify=ssl.create_default_context(cafile=str(self.ca)),
                base_url=url,
                headers=headers,
                timeout=START_SECONDS,
            ) as client:
                yield client
        finally:
            process.terminate()
            process.communicate(timeout=START_SECONDS)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    now = datetime.now(UTC)
    folder = tmp_path / "verifier"
    folder.mkdir()
    (folder / "policy-bundle.json").write_bytes(
        bundle_bytes(not_before=now - timedelta(days=1), expires_at=now + timedelta(days=1))
    )
    made = World(folder, clock=SettableClock(now))
    yield made
    made.close()


def test_the_bank_passes_challenges_and_refuses_over_tls(world: World, tmp_path: Path) -> None:
    make_certificates(tmp_path, "tls")
    totp = world.enrol_totp()
    with running_verifier(world, tmp_path) as verifier_url, Bank(tmp_path, verifier_url=verifier_url).client() as bank:
        assert bank.get("/accounts").json()["accounts"]
        assert bank.post("/transfers", json=LARGE | {"amount_minor": 10}).status_code == 201
        assert bank.post("/transfers", json=LARGE | {"extra": 1}).status_code == 400
        assert bank.post("/transfers", json=LARGE).json()["error"] == "unmet_authentication_requirements"
        assert bank.get("/customers/export", headers={"Authorization": f"Bearer {ROBOT}"}).status_code == 403
        assert bank.get("/accounts", headers={"Authorization": "Bearer " + "x" * 43}).status_code == 401

        refused = bank.post("/profile", json={"name": "x"})
        assert refused.status_code == 401
        challenge_id = challenge_of(refused)["stepup_uri"].rpartition("/")[2]
        earned = world.respond_code(challenge_id, totp.code(world.clock.now()))
        header = {"Step-Up-Assertion": earned.body["assertion"]}

        assert bank.post("/profile", json={"name": "y"}, headers=header).status_code == 403
        assert bank.post("/profile", json={"name": "x"}, headers=header).status_code == 200
        assert bank.post("/profile", json={"name": "x"}, headers=header).status_code == 403


def test_a_verifier_with_a_certificate_of_a_foreign_authority_is_not_asked(world: World, tmp_path: Path) -> None:
    make_certificates(tmp_path, "tls")
    make_certificates(tmp_path, "foreign")
    with (
        running_verifier(world, tmp_path) as verifier_url,
        Bank(tmp_path, verifier_url=verifier_url, verifier_ca="foreign-ca.pem").client() as bank,
    ):
        answer = bank.get("/accounts")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert world.records("access.evaluated") == []


def test_without_a_verifier_nothing_passes(tmp_path: Path) -> None:
    make_certificates(tmp_path, "tls")
    with Bank(tmp_path, verifier_url=f"https://localhost:{free_ports(1)[0]}").client() as bank:
        assert bank.get("/accounts").status_code == 503


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"client_secret": "written out"}, "secret"),
        ({"client_secret": "file:absent"}, "absent"),
        ({"certificate": "absent.pem"}, "certificate"),
        ({"sessions": "absent.json"}, "absent.json"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_no_server(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    make_certificates(tmp_path, "tls")
    process = Bank(tmp_path, verifier_url="https://localhost:1", **changes).start()

    output, errors = process.communicate(timeout=START_SECONDS)

    assert (process.returncode, output) == (1, "")
    assert sentence in errors
    assert errors.count("\n") == 1


def test_a_missing_configuration_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"absent\.json"):
        read_settings(tmp_path / "absent.json")


def test_a_damaged_session_file_is_named_and_its_tokens_are_not(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(json.dumps([{"token": ALICE, "subject_id": 7, "session_id": "s", "kind": "person"}]))

    with pytest.raises(InfraError) as caught:
        read_sessions(path)

    assert ALICE not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Basic " + ALICE.encode())],
        [(b"authorization", ALICE.encode())],
        [(b"authorization", b"Bearer " + ALICE.encode() + b" ")],
        [(b"authorization", b"Bearer " + ALICE.encode())] * 2,
    ],
)
def test_only_the_exact_token_is_a_session(tmp_path: Path, headers: list[tuple[bytes, bytes]]) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(json.dumps([{"token": ALICE, "subject_id": "alice", "session_id": "s", "kind": "person"}]))
    identify = read_sessions(path)

    assert identify({"headers": headers}) is None
    found = identify({"headers": [(b"authorization", b"bearer " + ALICE.encode())]})
    assert found is not None
    assert found.subject_id == "alice"
