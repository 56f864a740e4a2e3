"""The unseal key and the storage it opens: no killed run leaves storage that nobody can open; none is thrown away."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.openbao import OpenBaoServer, public_key

from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local.client import RefusedError
from keyrung_infra.local.layout import ROLES
from keyrung_infra.local.openbao import OpenBao
from keyrung_infra.local.server import stop_server
from keyrung_infra.tools import Tools


def test_no_file_names_the_root_token_or_more_than_the_unseal_key(own_openbao: OpenBaoServer) -> None:
    assert list(json.loads(own_openbao.layout.unseal.read_bytes())) == ["keys_base64"]
    assert not own_openbao.layout.initialising.exists()


def test_sealed_server_is_unsealed(own_openbao: OpenBaoServer, fingerprint: str) -> None:
    root = own_openbao.openbao.server.client(token=own_openbao.openbao.root_token())
    root.call("PUT", "sys/seal")
    assert own_openbao.openbao.status().state == "sealed"
    own_openbao.openbao.up()
    assert public_key(own_openbao) == fingerprint
    # The root token that sealed it could not be revoked here; the repair of a role token does it.
    own_openbao.layout.token("auditor").unlink()
    own_openbao.openbao.up()
    with pytest.raises(RefusedError):
        root.call("GET", "auth/token/lookup-self")


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
    assert public_key(own_openbao) == fingerprint


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
