"""A portable key is one key in two stores: made in a token, copied wrapped, proven, locked, and only then used."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.moving import Move, move
from support.openbao import OpenBaoServer
from support.softhsm import SoftHsmToken
from support.stores import verifies

from keyrung_infra.tools import Tools
from keyrung_provisioners.api import Custody, KeySpec
from keyrung_provisioners.checks import check_identity, describe_or_none
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.portability import check_copy
from keyrung_provisioners.states import KeyState

_DATA = b"a message"
_POINTS = ("claimed", "generate", "generated", "copy", "copied", "lock", "locked", "activate")


class _CrashError(Exception):
    """The process ends here."""


@pytest.fixture
def portable(softhsm_token: SoftHsmToken, openbao: OpenBaoServer, tmp_path: Path) -> Move:
    return move(softhsm_token, openbao, tmp_path)


def _crash_at(wanted: str) -> Callable[[str], None]:
    def reached(point: str) -> None:
        if point == wanted:
            raise _CrashError

    return reached


def _check_both(portable: Move) -> None:
    (row,) = portable.inventory.rows()
    assert (row.state, row.custody) == (KeyState.ACTIVE, Custody.COPIED)
    assert row.evidence is not None
    assert row.evidence["CKA_EXTRACTABLE"] is False
    assert row.evidence["copy"] == str(portable.copy)
    check_identity(row, portable.source)
    check_copy(row, portable.target)
    for manager, uri in ((portable.source, row.claim.uri), (portable.target, portable.copy)):
        assert manager.describe(uri).fingerprint == row.fingerprint
        assert verifies(row.public_key_pem, _DATA, manager.sign(uri, _DATA))


def test_both_copies_sign_as_one_identity_and_neither_leaves_its_store_again(portable: Move) -> None:
    row = portable.provision()
    _check_both(portable)
    assert portable.provision() == row
    assert portable.events() == ["key.claimed", "key.created", "key.copied", "key.activated"]
    offer = portable.target.offer(_spec(portable), hash_name="SHA-1")
    for leave in (
        lambda: portable.source.export(row.claim.uri, offer),
        lambda: portable.source.wrap(row.claim.uri, bytearray(32)),
    ):
        with pytest.raises(KeyRefusedError):
            leave()


def _spec(portable: Move) -> KeySpec:
    claim = portable.claim
    return KeySpec(
        uri=portable.copy, algorithm=claim.algorithm, purpose=claim.purpose, claim_id=b"", custody=Custody.COPIED
    )


@pytest.mark.parametrize("point", _POINTS)
def test_a_crash_leaves_pre_activation_and_the_next_run_finishes_with_one_key_and_one_copy(
    portable: Move, point: str
) -> None:
    with pytest.raises(_CrashError):
        portable.provision(_crash_at(point))
    (left,) = portable.inventory.rows()
    made_before = describe_or_none(portable.source, portable.claim.uri)

    row = portable.provision()

    assert left.state is KeyState.PRE_ACTIVATION
    assert made_before is None or made_before.fingerprint == row.fingerprint
    _check_both(portable)
    assert portable.events().count("key.copied") == 1


_VICTIM = """
import json, os, signal, sys
from pathlib import Path
from support.moving import Move
from support.softhsm import SoftHsmToken
from support.stores import token_manager, vault_manager
from keyrung_infra.inventory.sqlite import SqliteInventory
from keyrung_infra.local.layout import SoftHsmLayout
from keyrung_provisioners.uri import KeyUri

order = json.loads(sys.argv[1])
layout = SoftHsmLayout(folder=Path(order["folder"]))
token = SoftHsmToken(layout=layout, module=Path(order["module"]), label=order["label"])
portable = Move(
    token=token, settings=order["settings"], inventory=SqliteInventory(Path(order["inventory"])),
    copy=KeyUri.parse(order["copy"]), source=token_manager(token), target=vault_manager(order["settings"]),
)

def reached(point):
    if point == order["die_at"]:
        os.kill(os.getpid(), signal.SIGKILL)

getattr(portable, order["what"])(reached)
"""


def _kill_at(portable: Move, what: str, point: str, folder: Path) -> None:
    order = {
        "folder": str(portable.token.layout.folder),
        "module": str(portable.token.module),
        "label": portable.token.label,
        "settings": portable.settings,
        "inventory": str(folder / "inventory.db"),
        "copy": str(portable.copy),
        "what": what,
        "die_at": point,
    }
    done = subprocess.run(
        [sys.executable, "-c", _VICTIM, json.dumps(order)],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "SOFTHSM2_CONF": str(portable.token.config),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("point", ["generated", "copied", "locked"])
def test_kill_9_at_a_fault_point_converges(portable: Move, point: str, tmp_path: Path) -> None:
    _kill_at(portable, "provision", point, tmp_path)
    assert [row.state for row in portable.inventory.rows()] == [KeyState.PRE_ACTIVATION]
    portable.provision()
    _check_both(portable)


def test_kill_9_while_both_are_destroyed_is_finished_by_the_next_run(portable: Move, tmp_path: Path) -> None:
    portable.provision()
    _kill_at(portable, "retire", "destroy", tmp_path)
    portable.retire()
    _check_gone(portable)


def test_destroying_the_key_takes_its_copy_along(portable: Move) -> None:
    portable.provision()
    portable.retire()
    portable.retire()
    _check_gone(portable)


def test_a_key_that_was_never_copied_is_destroyed_alone(portable: Move) -> None:
    with pytest.raises(_CrashError):
        portable.provision(_crash_at("copy"))
    portable.retire()
    _check_gone(portable)


def _check_gone(portable: Move) -> None:
    assert [row.state for row in portable.inventory.rows()] == [KeyState.DESTROYED]
    assert portable.events()[-1] == "key.destroyed"
    assert describe_or_none(portable.source, portable.claim.uri) is None
    assert describe_or_none(portable.target, portable.copy) is None


def test_a_foreign_key_in_the_place_of_the_copy_is_neither_used_nor_destroyed(portable: Move) -> None:
    foreign = portable.target.create(replace(_spec(portable), custody=Custody.SOLE))
    with pytest.raises(KeyConflictError, match="did not make"):
        portable.provision()
    assert [row.state for row in portable.inventory.rows()] == [KeyState.PRE_ACTIVATION]
    with pytest.raises(KeyConflictError, match="did not make"):
        portable.retire()
    assert portable.target.describe(portable.copy) == foreign


def test_a_copy_that_is_gone_or_replaced_is_told(portable: Move) -> None:
    row = portable.provision()
    portable.target.destroy(portable.copy)
    with pytest.raises(KeyMissingError, match="the copy of"):
        check_copy(row, portable.target)
    portable.target.create(replace(_spec(portable), custody=Custody.SOLE))
    with pytest.raises(KeyAlteredError, match="thumbprint"):
        check_copy(row, portable.target)


def test_the_inventory_itself_refuses_to_activate_a_key_before_its_copy(portable: Move) -> None:
    with pytest.raises(_CrashError):
        portable.provision(_crash_at("copy"))
    (row,) = portable.inventory.rows()
    with pytest.raises(KeyRefusedError, match="no confirmed copy"):
        portable.inventory.transition(row, KeyState.ACTIVE, now=row.claimed_at)


def test_nothing_else_is_declared_where_the_copy_stands(portable: Move) -> None:
    row = portable.provision()
    assert portable.inventory.find(portable.copy) == row
    other = replace(portable.claim, owner="urn:other", uri=portable.copy, copy_to=None)
    with pytest.raises(KeyConflictError, match="belongs to urn:portable"):
        portable.provisioner().provision(other, portable.target)


@pytest.mark.parametrize("declared", ["escrowed as well", "symmetric", "onto itself", "into the token"])
def test_what_the_stores_cannot_copy_is_refused_before_it_is_claimed(portable: Move, declared: str) -> None:
    claim = portable.claim
    change = {
        "escrowed as well": replace(claim, escrowed=True),
        "symmetric": replace(claim, algorithm="AES-256"),
        "onto itself": replace(claim, copy_to=claim.uri),
        "into the token": replace(claim, copy_to=claim.uri.of_generation(2)),
    }[declared]
    provisioner = portable.provisioner()
    if declared == "into the token":
        provisioner = replace(provisioner, copy_store=lambda _uri: portable.source)
    with pytest.raises(KeyRefusedError):
        provisioner.provision(change, portable.source)
    assert portable.inventory.rows() == []


def test_without_the_copys_store_nothing_is_claimed(portable: Move) -> None:
    with pytest.raises(KeyRefusedError, match="not at hand"):
        replace(portable.provisioner(), copy_store=None).provision(portable.claim, portable.source)
    assert portable.inventory.rows() == []


def test_openssl_and_bao_agree_that_both_copies_sign_as_the_recorded_key(
    portable: Move, openbao: OpenBaoServer, tools: Tools, tmp_path: Path
) -> None:
    """Neither our code nor `cryptography` has a say: the same text, signed in the token and in Transit."""
    row = portable.provision()
    text, public = tmp_path / "text", tmp_path / "public.pem"
    text.write_bytes(_DATA)
    public.write_text(row.public_key_pem or "")
    signatures = [portable.source.sign(row.claim.uri, _DATA), portable.target.sign(portable.copy, _DATA)]
    for signed in signatures:
        signature = tmp_path / "signature"
        signature.write_bytes(_der(signed))
        verify = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(signature), str(text)]
        assert subprocess.run(verify, capture_output=True, text=True).stdout == "Verified OK\n"
        assert _bao_verifies(tools.bao, openbao, portable.copy.name, signed)
    shown = _bao(tools.bao, openbao, "read", f"keyrung/keys/{portable.copy.name}")
    assert shown["keys"]["1"]["public_key"].strip() == (row.public_key_pem or "").strip()
    assert (shown["exportable"], shown["allow_plaintext_backup"], shown["imported_key"]) == (False, False, True)


def _der(signature: bytes) -> bytes:
    numbers = (signature[:32], signature[32:])
    integers = [part.lstrip(b"\0") for part in numbers]
    body = b"".join(bytes([2, len(part) + (part[0] >> 7)]) + bytes(part[0] >> 7) + part for part in integers)
    return bytes([0x30, len(body)]) + body


def _bao_verifies(bao: Path, openbao: OpenBaoServer, name: str, signature: bytes) -> bool:
    written = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    data = [f"input={base64.b64encode(_DATA).decode()}", f"signature=vault:v1:{written}", "marshaling_algorithm=jws"]
    return bool(_bao(bao, openbao, "write", f"keyrung/verify/{name}/sha2-256", *data)["valid"])


def _bao(bao: Path, openbao: OpenBaoServer, *arguments: str) -> dict[str, Any]:
    """Return the data that OpenBao's own command line shows."""
    command, path, *data = arguments
    done = subprocess.run(
        [bao, command, "-format=json", path, *data],
        env={
            "BAO_ADDR": openbao.address,
            "BAO_CACERT": str(openbao.ca),
            "BAO_TOKEN": openbao.token("deployer"),
            "HOME": "/nowhere",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)["data"]
    return answer
