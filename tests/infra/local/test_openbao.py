"""The server's life: what it is after `up`, and that `up` brings it back from every way it may have ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.openbao import OpenBaoServer, public_key

from keyrung_infra.errors import InfraError
from keyrung_infra.local import policies
from keyrung_infra.local.certificates import ensure_authority
from keyrung_infra.local.client import Client, RefusedError, UnreachableError
from keyrung_infra.local.layout import ROLES, OpenBaoLayout
from keyrung_infra.local.openbao import OpenBao
from keyrung_infra.local.server import find_server, stop_server
from keyrung_infra.tools import Tools


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
    assert public_key(own_openbao) == fingerprint


def test_killed_server_comes_back(own_openbao: OpenBaoServer, fingerprint: str) -> None:
    os.kill(_pid(own_openbao), signal.SIGKILL)
    own_openbao.openbao.up()
    assert public_key(own_openbao) == fingerprint


def test_server_that_hangs_is_replaced(
    own_openbao: OpenBaoServer, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyrung_infra.local.server._PROBE_SECONDS", 0.2)
    monkeypatch.setattr("keyrung_infra.local.processes.STOP_SECONDS", 0.2)
    hung = _pid(own_openbao)
    os.kill(hung, signal.SIGSTOP)
    own_openbao.openbao.up()
    assert _pid(own_openbao) != hung
    assert public_key(own_openbao) == fingerprint


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
        assert public_key(own_openbao) == fingerprint


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
    assert public_key(own_openbao) == fingerprint


@pytest.mark.parametrize(("name", "content"), [("pid", "x"), ("address", "https://127.0.0.1:x"), ("address", "")])
def test_damaged_run_time_file_is_no_harm(
    own_openbao: OpenBaoServer, fingerprint: str, name: str, content: str
) -> None:
    (own_openbao.layout.folder / name).write_text(content)
    own_openbao.openbao.up()
    assert public_key(own_openbao) == fingerprint


@pytest.mark.parametrize("name", ["pid", "address", "config.hcl", "admin.sock", "server.log"])
def test_lost_run_time_file_is_no_harm(own_openbao: OpenBaoServer, fingerprint: str, name: str) -> None:
    (own_openbao.layout.folder / name).unlink()
    own_openbao.openbao.up()
    assert public_key(own_openbao) == fingerprint
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
