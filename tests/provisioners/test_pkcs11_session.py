"""The session to a token: lost and found again, shared by threads and forks, never at the cost of PIN tries."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pkcs11
import pytest
from support.softhsm import SoftHsmToken, make_token
from support.stores import EscrowingManager, spec, token_manager, verifies

from keyrung_infra.tools import Tools
from keyrung_provisioners.backends.pkcs11 import session as sessions
from keyrung_provisioners.errors import BackendMissingError, BackendUnavailableError, KeyMissingError
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

_DATA = b"a message"
_SECONDS = 60
# python-pkcs11 ends a search when it is thrown away, and complains where nobody hears it if the session was lost.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. 'pkcs11._pkcs11.OperationContext")


@pytest.fixture
def manager(softhsm_token: SoftHsmToken) -> EscrowingManager:
    return token_manager(softhsm_token)


@pytest.fixture
def uri(softhsm_token: SoftHsmToken) -> KeyUri:
    return KeyUri("pkcs11", softhsm_token.label, "assertion-signing-one")


@pytest.fixture
def pem(manager: EscrowingManager, uri: KeyUri) -> str:
    """The public half of a key that the manager made and used."""
    made = manager.create(spec(uri))
    manager.sign(uri, _DATA)
    return made.public_key_pem or ""


def _close_all_sessions(library: Any, token: SoftHsmToken) -> None:
    slot = library.get_token(token_label=token.label).slot.slot_id
    assert ctypes.CDLL(str(token.module)).C_CloseAllSessions(ctypes.c_ulong(slot)) == 0


def _reinitialize(library: Any, token: SoftHsmToken) -> None:
    library.reinitialize()


def _finalize(library: Any, token: SoftHsmToken) -> None:
    library.finalize()


@pytest.mark.parametrize("lose", [_close_all_sessions, _reinitialize, _finalize])
def test_a_session_that_something_else_ended_is_opened_again(
    manager: EscrowingManager,
    uri: KeyUri,
    pem: str,
    softhsm_token: SoftHsmToken,
    lose: Callable[[Any, SoftHsmToken], None],
) -> None:
    lose(pkcs11.lib(str(softhsm_token.module)), softhsm_token)
    assert verifies(pem, _DATA, manager.sign(uri, _DATA))
    assert manager.describe(uri).public_key_pem == pem


def test_managers_of_one_process_share_a_login_and_do_not_log_each_other_out(
    manager: EscrowingManager, uri: KeyUri, pem: str, softhsm_token: SoftHsmToken
) -> None:
    other = token_manager(softhsm_token)
    assert verifies(pem, _DATA, other.sign(uri, _DATA))
    other.destroy(uri)
    with pytest.raises(KeyMissingError):
        manager.sign(uri, _DATA)
    assert verifies(other.create(spec(uri)).public_key_pem, _DATA, manager.sign(uri, _DATA))


def test_code_that_logged_in_on_its_own_is_no_obstacle(softhsm_token: SoftHsmToken, uri: KeyUri) -> None:
    token = pkcs11.lib(str(softhsm_token.module)).get_token(token_label=softhsm_token.label)
    with token.open(rw=True, user_pin=softhsm_token.pin):
        made = token_manager(softhsm_token).create(spec(uri))
        assert verifies(made.public_key_pem, _DATA, token_manager(softhsm_token).sign(uri, _DATA))


def test_after_a_fork_child_and_parent_both_sign_right(manager: EscrowingManager, uri: KeyUri, pem: str) -> None:
    stop = threading.Event()

    def keep_signing() -> bool:
        good = True
        while not stop.is_set():
            good = good and verifies(pem, _DATA, manager.sign(uri, _DATA))
        return good

    with ThreadPoolExecutor(max_workers=2) as threads:  # forks in the middle of their calls
        signers = [threads.submit(keep_signing) for _ in range(2)]
        codes = [_forked(lambda: verifies(pem, _DATA, manager.sign(uri, _DATA))) for _ in range(5)]
        stop.set()
        assert all(signer.result(timeout=_SECONDS) for signer in signers)
    assert codes == [0] * 5
    assert verifies(pem, _DATA, manager.sign(uri, _DATA))


def test_a_child_of_a_child_signs_too(manager: EscrowingManager, uri: KeyUri, pem: str) -> None:
    def sign_in_a_child() -> bool:
        return (
            verifies(pem, _DATA, manager.sign(uri, _DATA))
            and _forked(lambda: verifies(pem, _DATA, manager.sign(uri, _DATA))) == 0
            and verifies(pem, _DATA, manager.sign(uri, _DATA))
        )

    assert _forked(sign_in_a_child) == 0


def _forked(check: Callable[[], bool]) -> int:
    """Return 0 if ``check`` holds in a forked child, which is killed when it hangs."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        code = 3
        try:
            code = 0 if check() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_eight_threads_sign_at_once(manager: EscrowingManager, uri: KeyUri, pem: str) -> None:
    def sign(number: int) -> bool:
        data = f"message {number}".encode()
        return verifies(pem, data, manager.sign(uri, data))

    with ThreadPoolExecutor(max_workers=8) as threads:
        assert all(threads.map(sign, range(400)))


_LOGIN = """
import sys
from pathlib import Path
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri
settings = {"pkcs11Module": "file:" + sys.argv[1], "pkcs11Pin": "file:" + sys.argv[2]}
manager = open_manager("pkcs11", settings, root=Path("/"))
sys.stdin.readline()
manager.sign(KeyUri.parse(sys.argv[3]), b"data")
"""


def test_eight_processes_log_in_at_the_same_moment(softhsm_token: SoftHsmToken, uri: KeyUri, pem: str) -> None:
    layout = softhsm_token.layout
    command = [sys.executable, "-c", _LOGIN, str(layout.module), str(layout.pin), str(uri)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    failures = [process.communicate(timeout=_SECONDS)[1] for process in running]
    assert failures == [""] * 8


def test_a_token_is_found_by_its_label_wherever_it_moved(
    manager: EscrowingManager, uri: KeyUri, pem: str, softhsm_token: SoftHsmToken, tools: Tools
) -> None:
    folder = softhsm_token.layout.folder
    next(softhsm_token.layout.tokens.iterdir()).rename(folder / "kept")
    make_token(folder, tools, label="another")
    (folder / "kept").rename(softhsm_token.layout.tokens / "moved")
    pkcs11.lib(str(softhsm_token.module)).reinitialize()
    assert verifies(pem, _DATA, manager.sign(uri, _DATA))


def test_a_token_made_anew_under_the_label_has_another_slot_and_not_the_key(
    manager: EscrowingManager, uri: KeyUri, pem: str, softhsm_token: SoftHsmToken, tools: Tools
) -> None:
    slot = manager._session(softhsm_token.label).token().slot.slot_id  # type: ignore[attr-defined]
    for folder in softhsm_token.layout.tokens.iterdir():
        shutil.rmtree(folder)
    make_token(softhsm_token.layout.folder, tools, label=softhsm_token.label)
    pkcs11.lib(str(softhsm_token.module)).reinitialize()
    with pytest.raises(KeyMissingError):
        manager.describe(uri)
    assert manager._session(softhsm_token.label).token().slot.slot_id != slot  # type: ignore[attr-defined]


def test_a_token_that_is_added_later_is_found(
    manager: EscrowingManager, uri: KeyUri, pem: str, softhsm_token: SoftHsmToken, tools: Tools
) -> None:
    late = replace(softhsm_token, label="late")
    other = token_manager(late)
    with pytest.raises(BackendUnavailableError, match="no PKCS#11 token labelled 'late'"):
        other.describe(replace(uri, vault="late"))
    make_token(softhsm_token.layout.folder, tools, label="late")
    made = other.create(spec(replace(uri, vault="late")))
    assert verifies(made.public_key_pem, _DATA, other.sign(replace(uri, vault="late"), _DATA))
    assert verifies(pem, _DATA, manager.sign(uri, _DATA))  # though the library was initialised anew


def test_two_tokens_with_one_label_are_refused(
    manager: EscrowingManager, uri: KeyUri, pem: str, softhsm_token: SoftHsmToken, tools: Tools
) -> None:
    twin = make_token(softhsm_token.layout.folder / "twin", tools, label=softhsm_token.label)
    for folder in twin.layout.tokens.iterdir():
        shutil.copytree(folder, softhsm_token.layout.tokens / folder.name)
    pkcs11.lib(str(softhsm_token.module)).reinitialize()
    with pytest.raises(BackendUnavailableError, match="more than one PKCS#11 token"):
        manager.describe(uri)
    with pytest.raises(BackendUnavailableError, match="more than one PKCS#11 token"):
        manager.describe_vault(uri.vault_uri)


def test_a_login_that_never_ends_elsewhere_is_waited_for_within_bounds(
    softhsm_token: SoftHsmToken, uri: KeyUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_LOGIN_WAIT_SECONDS", 0.2)
    with sessions._alone(str(softhsm_token.module)), pytest.raises(BackendUnavailableError, match="for too long"):
        token_manager(softhsm_token).describe(uri)


@pytest.mark.parametrize("content", [None, b"", b"no library", b"\x7fELF" + b"\0" * 64])
def test_a_module_that_is_none_is_named(softhsm_token: SoftHsmToken, uri: KeyUri, content: bytes | None) -> None:
    module = softhsm_token.layout.folder / "module.so"
    if content is not None:
        module.write_bytes(content)
    manager = open_manager(
        "pkcs11", softhsm_token.settings() | {"pkcs11Module": str(module)}, root=softhsm_token.layout.folder
    )
    with pytest.raises(BackendMissingError, match=str(module)):
        manager.describe(uri)
