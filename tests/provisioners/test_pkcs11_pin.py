"""A PIN is tried once: no fault of ours locks a token."""

import pkcs11
import pytest
from pkcs11.constants import TokenFlag
from support.softhsm import SoftHsmToken
from support.stores import EscrowingManager, spec, token_manager, verifies

from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.backends.pkcs11 import session as sessions
from keyrung_provisioners.errors import BackendUnavailableError
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri


@pytest.fixture
def uri(softhsm_token: SoftHsmToken) -> KeyUri:
    return KeyUri("pkcs11", softhsm_token.label, "assertion-signing-one")


class _Counting:
    """A token that counts logins, and shows other flags if told so."""

    def __init__(self, token: pkcs11.Token, tries: list[str], flags: TokenFlag | None = None) -> None:
        self._token, self._tries, self._flags = token, tries, flags

    @property
    def flags(self) -> TokenFlag:
        found: TokenFlag = self._token.flags if self._flags is None else self._flags
        return found

    def open(self, *, rw: bool, user_pin: str | None = None) -> pkcs11.Session:
        self._tries.append(user_pin or "")
        return self._token.open(rw=rw, user_pin=user_pin)


def _watch(patch: pytest.MonkeyPatch, flags: TokenFlag | None = None) -> list[str]:
    tries: list[str] = []
    find = sessions._find
    patch.setattr(sessions, "_find", lambda module, label: _Counting(find(module, label), tries, flags))
    return tries


def _with_pin(token: SoftHsmToken, pin: str) -> KeyManager:
    (token.layout.folder / "other-pin").write_text(pin)
    return open_manager("pkcs11", token.settings() | {"pkcs11Pin": "file:other-pin"}, root=token.layout.folder)


def test_a_wrong_pin_is_sent_once_by_the_process_whoever_asks(
    softhsm_token: SoftHsmToken, uri: KeyUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = _watch(monkeypatch)
    for _ in range(3):
        wrong = _with_pin(softhsm_token, "000000")
        for _ in range(3):
            with pytest.raises(BackendUnavailableError, match="refused the PIN"):
                wrong.describe(uri)
    assert tries == ["000000"]


def test_a_corrected_pin_works_without_a_restart(softhsm_token: SoftHsmToken, uri: KeyUri) -> None:
    manager = _with_pin(softhsm_token, "000000")
    with pytest.raises(BackendUnavailableError, match="refused the PIN"):
        manager.create(spec(uri))
    (softhsm_token.layout.folder / "other-pin").write_text(softhsm_token.pin)
    assert manager.create(spec(uri)).public_key_pem


@pytest.mark.parametrize("flag", [TokenFlag.USER_PIN_FINAL_TRY, TokenFlag.USER_PIN_LOCKED])
def test_the_last_try_is_left_to_a_person(
    softhsm_token: SoftHsmToken, uri: KeyUri, monkeypatch: pytest.MonkeyPatch, flag: TokenFlag
) -> None:
    tries = _watch(monkeypatch, flag)
    with pytest.raises(BackendUnavailableError, match="no PIN tries to spare"):
        token_manager(softhsm_token).describe(uri)
    assert tries == []


def test_the_pin_is_asked_for_only_when_logging_in(softhsm_token: SoftHsmToken, uri: KeyUri) -> None:
    manager = token_manager(softhsm_token)
    made = manager.create(spec(uri))
    assert verifies(made.public_key_pem, b"data", _without_pin(manager).sign(uri, b"data"))


def _without_pin(manager: EscrowingManager) -> EscrowingManager:
    def refuse() -> str:
        raise AssertionError("the PIN was asked for")

    return type(manager)(module_path=manager._module_path, pin=refuse)  # type: ignore[call-arg, attr-defined]
