"""The stack as a whole: repeatable, repairs itself, tells its state, gives plain programs what they need."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.project import Project

from keyrung_infra.errors import InfraError
from keyrung_infra.local.layout import Layout
from keyrung_infra.local.locks import exclusive
from keyrung_infra.local.server import find_server
from keyrung_infra.local.stack import Stack, stop_stack
from keyrung_infra.tools import Tools


@pytest.fixture
def stack(tools: Tools, tmp_path: Path) -> Iterator[Stack]:
    """A stack that was never up."""
    yield Stack(tmp_path, tools=tools)
    stop_stack(tmp_path)


def test_all_of_it_is_up_and_private(local_stack: Project) -> None:
    assert local_stack.stack.status().is_up
    wrong = [str(path) for path in (local_stack.state, *local_stack.state.rglob("*")) if path.stat().st_mode & 0o077]
    assert wrong == []


def test_description_holds_no_secret(local_stack: Project) -> None:
    layout = local_stack.stack.layout
    text = layout.description.read_text()
    assert set(json.loads(text)) == {"openbao", "softhsm", "tools"}
    secret_files = [layout.softhsm.pin, layout.softhsm.so_pin, layout.sample_client_secret]
    secret_files += [layout.openbao.token(role) for role in ("deployer", "verifier", "auditor")]
    assert [path.name for path in secret_files if path.read_text().strip() in text] == []


def test_second_up_touches_no_file(local_stack: Project) -> None:
    def seen() -> dict[str, int]:
        return {
            str(path): path.stat().st_mtime_ns
            for path in local_stack.state.rglob("*")
            # OpenBao's storage, and the counter that SoftHSM raises whenever a token is opened
            if path.is_file() and "data" not in path.parts and path.name != "generation"
        }

    before = seen()
    local_stack.stack.up()
    assert seen() == before


def test_two_ups_at_once_end_in_one_stack(stack: Stack, tools: Tools, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        states = list(pool.map(lambda _: Stack(tmp_path, tools=tools).up(), range(3)))
    assert {state.openbao.pid for state in states} == {find_server(stack.layout.openbao)}
    assert all(state.is_up for state in states)


def test_a_run_that_holds_the_lock_too_long_is_named(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"), pytest.raises(InfraError, match=r"another keyrung command has held .*/lock"):  # noqa: SIM117
        with exclusive(tmp_path / "lock", timeout_seconds=0.1):
            pass


def test_down_keeps_the_data_and_is_repeatable(local_stack: Project) -> None:
    client = local_stack.stack.openbao.server.client(token=_token(local_stack, "deployer"))
    client.call("POST", "sys/mounts/keyrung", {"type": "transit"})
    assert stop_stack(local_stack.root)
    assert not stop_stack(local_stack.root)
    assert local_stack.stack.status().openbao.state == "stopped"
    local_stack.stack.up()
    client = local_stack.stack.openbao.server.client(token=_token(local_stack, "deployer"))
    assert client.call("GET", "sys/mounts/keyrung")["data"]["type"] == "transit"


def test_down_where_nothing_was_up_makes_nothing(tmp_path: Path) -> None:
    assert not stop_stack(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "dev.json",
        "tls/server.pem",
        "tls/server-key.pem",
        "clients/sample-api",
        "pulumi/passphrase",
        "pulumi/home",
        "pulumi/state",
        "softhsm/module",
        "openbao/tokens/verifier",
    ],
)
def test_lost_file_is_reported_and_made_again(project_for_losses: Project, name: str) -> None:
    path = project_for_losses.state / name
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    assert project_for_losses.stack.status().is_up == (name == "dev.json")
    assert project_for_losses.stack.up().is_up
    assert path.exists()


@pytest.fixture(scope="module")
def project_for_losses(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("losses")
    stack = Stack(root, tools=tools)
    stack.up()
    yield Project(root=root, stack=stack)
    stop_stack(root)


def test_state_folder_that_others_may_enter_is_closed(stack: Stack) -> None:
    stack.layout.state.mkdir(mode=0o755)
    stack.layout.state.chmod(0o755)
    stack.up()
    assert stack.layout.state.stat().st_mode & 0o777 == 0o700


def test_state_folder_that_is_a_file_is_an_error(stack: Stack) -> None:
    stack.layout.state.write_text("")
    with pytest.raises(InfraError, match=r"the folder .*/\.keyrung cannot be made \(File exists\)"):
        stack.up()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_project_that_is_read_only_is_an_error(stack: Stack) -> None:
    stack.layout.root.chmod(0o500)
    with pytest.raises(InfraError, match=r"the folder .*/\.keyrung cannot be made \(Permission denied\)"):
        stack.up()
    stack.layout.root.chmod(0o700)


@pytest.mark.parametrize("size_kib", [4, 16, 64, 1024])
def test_full_disk_is_one_sentence_and_the_next_run_succeeds(tools: Tools, tmp_path: Path, size_kib: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine allows no mounts")
    try:
        with pytest.raises(InfraError, match=r"make room"):
            Stack(tmp_path, tools=tools).up()
        assert [path.name for path in tmp_path.rglob(".*") if path.name != ".keyrung"] == []
        assert find_server(Layout(root=tmp_path).openbao) is None
        subprocess.run(["mount", "-o", "remount,size=256m", str(tmp_path)], check=True)
        assert Stack(tmp_path, tools=tools).up().is_up
    finally:
        stop_stack(tmp_path)
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_run_that_is_killed_leaves_no_lock_behind(stack: Stack, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from keyrung_infra.local.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    stack.layout.state.mkdir()
    command = [sys.executable, "-c", program, str(stack.layout.lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
    started = time.monotonic()
    stack.up()
    assert time.monotonic() - started < 30


def test_shell_that_evaluates_the_variables_reaches_every_part(local_stack: Project) -> None:
    script = f"""
        eval "$({shlex.quote(str(Path(sys.prefix, "bin", "keyrung")))} dev env)" &&
        bao status -format=json && pulumi whoami && test "$SOFTHSM2_CONF" -ef .keyrung/softhsm/softhsm2.conf
    """
    done = subprocess.run(
        ["/bin/sh", "-ec", script],
        cwd=local_stack.root,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[: done.stdout.rindex("}") + 1])["sealed"] is False


def test_variables_of_a_stack_never_up_are_an_error(stack: Stack) -> None:
    with pytest.raises(InfraError, match="has not been set up: run keyrung dev up"):
        stack.variables()


def _token(project: Project, role: str) -> str:
    return project.stack.layout.openbao.token(role).read_text().strip()
