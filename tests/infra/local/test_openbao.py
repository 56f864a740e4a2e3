"""The server's life: what it is after `up`, and that `up` brings it back from every way it may have ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.openbao import OpenBaoServer

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local import policies
from keyrung_infra.local.certificates import ensure_authority
from keyrung_infra.local.client import Client, RefusedError, UnreachableError
from keyrung_infra.local.layout import ROLES, OpenBaoLayout
from keyrung_infra.local.openbao import OpenBao
from keyrung_infra.local.server import find_server, stop_server
from keyrung_infra.tools import Tools


@pytest.fixture
def fingerprint(own_openbao: OpenBaoServer) -> str:
    """Public half of a key, by which kept data is recognised."""
    own_openbao.client("deployer").call("POST", "keyrung/keys/policy-signing-kept", {"type": "ecdsa-p256"})
    return _public_key(own_openbao)


@pytest.fixture
def new_openbao(tools: Tools, tmp_path: Path) -> Iterator[OpenBao]:
    """A server that was never up."""
    layout = OpenBaoLayout(folder=tmp_path / "server")
    yield OpenBao(layout, bao=tools.bao, now=lambda: datetime.now(UTC))
    stop_server(layout)


def _public_key(server: OpenBaoServer) -> str:
    data = server.client("verifier").call("GET", "keyrung/keys/policy-signing-kept")["data"]
    return str(data["keys"]["1"]["public_key"])


def _pid(server: OpenBaoServer) -> int:
    pid = find_server(server.layout)
    assert pid is not None
    return pid


def test_every_file_is_readable_by_its_owner_only(own_openbao: OpenBaoServer) -> None:
    wrong = {
        str(path): oct(path.stat().st_mode)
        for path in own_openbao.layout.folder.rglob("*")
        if path.stat().st_mode & 0o077
    }
    assert wrong == {}
    assert own_openbao.layout.folder.stat().st_mode & 0o777 == 0o700


def test_no_file_names_the_root_token_or_more_than_the_unseal_key(own_openbao: OpenBaoServer) -> None:
    assert list(json.loads(own_openbao.layout.unseal.read_bytes())) == ["keys_base64"]
    assert not own_openbao.layout.initialising.exists()


def test_clients_without_the_stacks_authority_refuse_the_server(own_openbao: OpenBaoServer, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    ensure_authority(other, tmp_path / "other-key.pem", now=datetime.now(UTC))
    with pytest.raises(UnreachableError, match="SSLCertVerificationError"):
        Client.over_tls(own_openbao.address, ca=other).call("GET", "sys/health")


def test_second_up_changes_nothing(own_openbao: OpenBaoServer) -> None:
    before = (_pid(own_openbao), own_openbao.address, [own_openbao.token(role) for role in ROLES])
    own_openbao.openbao.up()
    assert (_pid(own_openbao), own_openbao.address, [own_openbao.token(role) for role in ROLES]) == before


def test_restart_keeps_data_tokens_and_port(own_openbao: OpenBaoServer, fingerprint: str) -> None:
    address, token = own_openbao.address, own_openbao.token("verifier")
    assert stop_server(own_openbao.layout)
    assert own_openbao.openbao.status().state == "stopped"
    own_openbao.openbao.up()
    assert (own_openbao.address, own_openbao.token("verifier")) == (address, token)
    assert _public_key(own_openbao) == fingerprint


def test_killed_server_comes_back(own_openbao: OpenBaoServer, fingerprint: str) -> None:
    os.kill(_pid(own_openbao), signal.SIGKILL)
    own_openbao.openbao.up()
    assert _public_key(own_openbao) == fingerprint


def test_server_that_hangs_is_replaced(
    own_openbao: OpenBaoServer, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyrung_infra.local.server._PROBE_SECONDS", 0.2)
    monkeypatch.setattr("keyrung_infra.local.processes.STOP_SECONDS", 0.2)
    hung = _pid(own_openbao)
    os.kill(hung, signal.SIGSTOP)
    own_openbao.openbao.up()
    assert _pid(own_openbao) != hung
    assert _public_key(own_openbao) == fingerprint


def test_sealed_server_is_unsealed(own_openbao: OpenBaoServer, fingerprint: str) -> None:
    root = own_openbao.openbao.server.client(token=own_openbao.openbao.root_token())
    root.call("PUT", "sys/seal")
    assert own_openbao.openbao.status().state == "sealed"
    own_openbao.openbao.up()
    assert _public_key(own_openbao) == fingerprint
    # The root token that sealed it could not be revoked here; the repair of a role token does it.
    own_openbao.layout.token("auditor").unlink()
    own_openbao.openbao.up()
    with pytest.raises(RefusedError):
        root.call("GET", "auth/token/lookup-self")


@pytest.mark.parametrize("content", [None, "", "s.notatoken", "\xff\xfe"])
def test_token_that_is_missing_or_wrong_is_replaced_and_the_others_stay(
    own_openbao: OpenBaoServer, content: str | None
) -> None:
    old, others = own_openbao.token("verifier"), [own_openbao.token(role) for role in ("deployer", "auditor")]
    path = own_openbao.layout.token("verifier")
    if content is None:
        path.unlink()
    else:
        path.write_text(content, "latin-1")
    assert own_openbao.openbao.status().roles_without_token == ("verifier",)
    own_openbao.openbao.up()
    own_openbao.client("verifier").call("GET", "auth/token/lookup-self")
    assert [own_openbao.token(role) for role in ("deployer", "auditor")] == others
    with pytest.raises(RefusedError):
        own_openbao.openbao.server.client(token=old).call("GET", "auth/token/lookup-self")


def test_revoked_token_is_replaced(own_openbao: OpenBaoServer) -> None:
    with own_openbao.root() as root:
        root.call("POST", "auth/token/revoke", {"token": own_openbao.token("deployer")})
    own_openbao.openbao.up()
    own_openbao.client("deployer").call("GET", "sys/mounts/keyrung")


def test_token_of_an_older_policy_is_replaced(own_openbao: OpenBaoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**policies.RULES, "auditor": {**policies.RULES["auditor"], "sys/mounts": ("read",)}}
    monkeypatch.setattr(policies, "RULES", changed)
    own_openbao.openbao.up()
    own_openbao.client("auditor").call("GET", "sys/mounts")


def test_port_taken_by_another_program_gives_another_address(own_openbao: OpenBaoServer, fingerprint: str) -> None:
    stop_server(own_openbao.layout)
    taken = own_openbao.address
    with socket.create_server(("127.0.0.1", int(taken.rpartition(":")[2]))):
        own_openbao.openbao.up()
        assert own_openbao.address != taken
        assert _public_key(own_openbao) == fingerprint


def test_port_taken_between_probe_and_start_gives_another_address(
    own_openbao: OpenBaoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_server(own_openbao.layout)
    taken = int(own_openbao.address.rpartition(":")[2])
    answers = iter([True])
    monkeypatch.setattr("keyrung_infra.local.server.is_free", lambda _: next(answers, False))
    with socket.create_server(("127.0.0.1", taken)):
        own_openbao.openbao.up()
    assert not own_openbao.address.endswith(f":{taken}")


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem", "server.pem", "server-key.pem"])
def test_lost_certificate_or_key_is_made_again(own_openbao: OpenBaoServer, fingerprint: str, name: str) -> None:
    (own_openbao.layout.folder / name).unlink()
    own_openbao.openbao.up()
    assert _public_key(own_openbao) == fingerprint


@pytest.mark.parametrize(("name", "content"), [("pid", "x"), ("address", "https://127.0.0.1:x"), ("address", "")])
def test_damaged_run_time_file_is_no_harm(
    own_openbao: OpenBaoServer, fingerprint: str, name: str, content: str
) -> None:
    (own_openbao.layout.folder / name).write_text(content)
    own_openbao.openbao.up()
    assert _public_key(own_openbao) == fingerprint


@pytest.mark.parametrize("name", ["pid", "address", "config.hcl", "admin.sock", "server.log"])
def test_lost_run_time_file_is_no_harm(own_openbao: OpenBaoServer, fingerprint: str, name: str) -> None:
    (own_openbao.layout.folder / name).unlink()
    own_openbao.openbao.up()
    assert _public_key(own_openbao) == fingerprint
    own_openbao.layout.token("auditor").unlink()
    own_openbao.openbao.up()
    own_openbao.client("auditor").call("GET", "auth/token/lookup-self")


def test_pid_that_belongs_to_another_program_is_left_alone(own_openbao: OpenBaoServer) -> None:
    stop_server(own_openbao.layout)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        own_openbao.layout.pid.write_text(f"{other.pid}\n")
        assert not stop_server(own_openbao.layout)
        own_openbao.layout.pid.write_text(f"{other.pid}\n")
        own_openbao.openbao.up()
        assert other.poll() is None
        assert _pid(own_openbao) != other.pid
        other.kill()


def test_run_killed_before_the_unseal_key_was_saved_begins_anew(
    new_openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(path: Path, data: bytes) -> None:
        if path.name == "unseal.json":
            raise KeyboardInterrupt
        write_private(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("keyrung_infra.local.openbao.write_private", die)
        with pytest.raises(KeyboardInterrupt):
            new_openbao.up()
    assert new_openbao.status().state == "sealed"
    new_openbao.up()
    assert new_openbao.status().roles_without_token == ()


def test_run_killed_before_the_tokens_were_saved_leaves_no_root_token(
    new_openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("keyrung_infra.local.roles.save_tokens", die)
        with pytest.raises(KeyboardInterrupt):
            new_openbao.up()
    new_openbao.up()
    token = new_openbao.root_token()
    root = new_openbao.server.client(token=token)
    accessors = root.call("LIST", "auth/token/accessors")["data"]["keys"]
    assert len(accessors) == len(ROLES) + 1
    root.call("POST", "auth/token/revoke-self")


def test_kill_at_any_moment_of_the_first_up_is_repaired_by_the_next(
    new_openbao: OpenBao, tools: Tools, tmp_path: Path
) -> None:
    """Kills the run itself (not the server), later each time, until one gets through."""
    program = (
        "import sys; from datetime import datetime, UTC; from pathlib import Path\n"
        "from keyrung_infra.local.layout import OpenBaoLayout; from keyrung_infra.local.openbao import OpenBao\n"
        "OpenBao(OpenBaoLayout(folder=Path(sys.argv[1])), bao=Path(sys.argv[2]), now=lambda: datetime.now(UTC)).up()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "server"), str(tools.bao)]
    for tenths in range(4, 100, 5):
        with subprocess.Popen(command, stderr=subprocess.PIPE) as run:
            try:
                _, complaint = run.communicate(timeout=tenths / 10)
            except subprocess.TimeoutExpired:
                run.kill()
                continue
        assert run.returncode == 0, complaint.decode()
        break
    new_openbao.up()
    assert new_openbao.status().roles_without_token == ()


def test_lost_unseal_key_is_an_error_and_nothing_is_thrown_away(own_openbao: OpenBaoServer, fingerprint: str) -> None:
    key = own_openbao.layout.unseal.read_bytes()
    own_openbao.layout.unseal.unlink()
    stop_server(own_openbao.layout)
    with pytest.raises(InfraError, match=r"unseal key .* is not: restore the file, or run make clean"):
        own_openbao.openbao.up()
    own_openbao.layout.unseal.write_bytes(key)
    own_openbao.openbao.up()
    assert _public_key(own_openbao) == fingerprint


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read"),
        (b"{}", "cannot be read"),
        (b'{"keys_base64": ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}', "does not open"),
    ],
)
def test_wrong_unseal_key_is_an_error(own_openbao: OpenBaoServer, content: bytes, sentence: str) -> None:
    stop_server(own_openbao.layout)
    own_openbao.layout.unseal.write_bytes(content)
    with pytest.raises(InfraError, match=sentence):
        own_openbao.openbao.up()


def test_emptied_storage_is_an_error_and_the_unseal_key_is_kept(own_openbao: OpenBaoServer) -> None:
    stop_server(own_openbao.layout)
    own_openbao.layout.data.rename(own_openbao.layout.folder / "moved")
    key = own_openbao.layout.unseal.read_bytes()
    with pytest.raises(InfraError, match=r"storage .* is empty although its unseal key is there"):
        own_openbao.openbao.up()
    assert own_openbao.layout.unseal.read_bytes() == key


def test_program_that_does_not_start_is_named(tmp_path: Path) -> None:
    openbao = OpenBao(OpenBaoLayout(folder=tmp_path / "s"), bao=tmp_path / "nowhere", now=lambda: datetime.now(UTC))
    with pytest.raises(InfraError, match=r"nowhere cannot be started .*: run make setup"):
        openbao.up()


def test_program_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    program = tmp_path / "bao"
    program.write_text("#!/bin/sh\necho 'Error: no such luck' >&2\nexit 1\n")
    program.chmod(0o755)
    openbao = OpenBao(OpenBaoLayout(folder=tmp_path / "s"), bao=program, now=lambda: datetime.now(UTC))
    with pytest.raises(InfraError, match=r"OpenBao does not start \(Error: no such luck\): see .*server\.log"):
        openbao.up()


def test_environment_of_the_caller_does_not_reach_the_server(
    new_openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAO_API_ADDR", "https://example.test:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    new_openbao.up()
    pid = new_openbao.status().pid
    variables = Path("/proc", str(pid), "environ").read_text()
    assert "example.test" not in variables
    assert "PROXY" not in variables


def test_status_of_a_server_that_was_never_up(new_openbao: OpenBao) -> None:
    assert new_openbao.status().state == "missing"


def test_path_longer_than_a_socket_path_may_be(tools: Tools, tmp_path: Path) -> None:
    folder = tmp_path / ("with space " + "x" * 100)
    folder.mkdir()
    layout = OpenBaoLayout(folder=folder / "server")
    openbao = OpenBao(layout, bao=tools.bao, now=lambda: datetime.now(UTC))
    try:
        openbao.up()
        assert openbao.status().roles_without_token == ()
    finally:
        stop_server(layout)


def test_server_outlives_the_run_that_started_it(new_openbao: OpenBao, tools: Tools, tmp_path: Path) -> None:
    program = (
        "import sys; from datetime import datetime, UTC; from pathlib import Path\n"
        "from keyrung_infra.local.layout import OpenBaoLayout; from keyrung_infra.local.openbao import OpenBao\n"
        "OpenBao(OpenBaoLayout(folder=Path(sys.argv[1])), bao=Path(sys.argv[2]), now=lambda: datetime.now(UTC)).up()"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "server"), str(tools.bao)], check=True)
    time.sleep(0.1)
    assert new_openbao.status().state == "running"
