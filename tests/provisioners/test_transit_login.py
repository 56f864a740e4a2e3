"""Logins by AppRole: taken when needed, renewed before they expire, taken anew when revoked, and told to nobody."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.openbao import OpenBaoServer
from support.secrets import leaks
from support.stores import VaultManager, spec, vault_manager

from keyrung_infra.local.client import Client
from keyrung_infra.local.policies import policy_name
from keyrung_provisioners.backends.transit import TransitKeyManager
from keyrung_provisioners.backends.transit.login import AppRole
from keyrung_provisioners.errors import BackendUnavailableError, InvalidSettingError
from keyrung_provisioners.uri import KeyUri

_TTL_SECONDS = 600
_URI = KeyUri("transit", "keyrung", "policy-signing-by-role")


@dataclass
class _Role:
    """A role of the server, with its secret id in a file."""

    server: OpenBaoServer
    root: Client
    folder: Path
    role_id: str
    seconds: float = 0.0
    secrets: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        settings = self.server.settings("deployer")
        del settings["transitToken"]
        return settings | {"transitRoleId": self.role_id, "transitSecretId": f"file:{self.folder / 'secret-id'}"}

    def new_secret_id(self) -> None:
        secret = str(self.root.call("POST", "auth/approle/role/deployer/secret-id")["data"]["secret_id"])
        self.secrets.append(secret)
        (self.folder / "secret-id").write_text(secret)

    def manager(self) -> TransitKeyManager:
        """Return a manager whose clock stands where `seconds` says."""
        login = AppRole(
            role_id=lambda: self.role_id,
            secret_id=(self.folder / "secret-id").read_text,
            clock=lambda: self.seconds,
        )
        return TransitKeyManager(address=lambda: self.server.address, login=login, ca_file=self.server.ca)

    def living_tokens(self) -> list[str]:
        """Return the accessors of the tokens that logins of this role gave."""
        found = []
        for accessor in self.root.call("LIST", "auth/token/accessors")["data"]["keys"]:
            held = self.root.call("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            if held["path"] == "auth/approle/login":
                found.append(str(accessor))
        return found


@pytest.fixture
def role(own_openbao: OpenBaoServer, tmp_path: Path) -> Iterator[_Role]:
    with own_openbao.root() as root:
        root.call("POST", "sys/auth/approle", {"type": "approle"})
        limits = {"token_policies": [policy_name("deployer")], "token_ttl": f"{_TTL_SECONDS}s"}
        root.call("POST", "auth/approle/role/deployer", limits)
        role_id = str(root.call("GET", "auth/approle/role/deployer/role-id")["data"]["role_id"])
        made = _Role(server=own_openbao, root=root, folder=tmp_path, role_id=role_id)
        made.new_secret_id()
        yield made


def _reopened(role: _Role) -> VaultManager:
    return vault_manager(role.settings)


def test_a_role_makes_and_uses_keys_with_one_login(role: _Role) -> None:
    manager = _reopened(role)
    made = manager.create(spec(_URI))
    manager.sign(_URI, b"data")
    assert manager.describe(_URI) == made
    assert len(role.living_tokens()) == 1


def test_a_login_is_renewed_before_it_expires_and_taken_anew_when_it_cannot_be(role: _Role) -> None:
    manager = role.manager()
    manager.create(spec(_URI))
    (first,) = role.living_tokens()
    role.seconds += _TTL_SECONDS * 0.7
    manager.describe(_URI)
    assert role.living_tokens() == [first]  # the same token, for as long again
    role.root.call("POST", "auth/token/revoke-accessor", {"accessor": first})
    role.seconds += _TTL_SECONDS * 0.7
    manager.describe(_URI)
    (second,) = role.living_tokens()
    assert second != first


def test_a_revoked_login_is_told_once_and_then_taken_anew_with_the_present_secret_id(role: _Role) -> None:
    manager = _reopened(role)
    manager.create(spec(_URI))
    role.root.call("POST", "auth/approle/role/deployer/secret-id/destroy", {"secret_id": role.secrets[0]})
    for accessor in role.living_tokens():
        role.root.call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    with pytest.raises(BackendUnavailableError, match="the token is invalid"):
        manager.sign(_URI, b"data")
    with pytest.raises(BackendUnavailableError, match="does not accept the role id with this secret id"):
        manager.sign(_URI, b"data")
    role.new_secret_id()
    manager.sign(_URI, b"data")


def test_neither_secret_id_nor_token_is_told_by_an_error_a_log_or_the_manager(
    role: _Role, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    manager = role.manager()
    manager.create(spec(_URI))
    login = manager._server._login
    assert isinstance(login, AppRole)
    hidden = {"secret id": role.secrets[0].encode(), "token": login._token.encode()}
    role.root.call("POST", "auth/approle/role/deployer/secret-id/destroy", {"secret_id": role.secrets[0]})
    login.refused()
    with pytest.raises(BackendUnavailableError) as caught:
        role.manager().describe(_URI)
    shown = f"{caught.value} {caught.value!r} {caught.value.fields} {caught.value.__cause__!r} {manager!r} {login!r}"
    assert leaks(hidden, {"shown": shown.encode(), "log": caplog.text.encode()}) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transitToken": "env:TOKEN"}, "both a token and a role"),
        ({"transitSecretId": ""}, "transitSecretId is not set"),
        ({"transitRoleId": ""}, "transitRoleId is not set"),
    ],
)
def test_a_role_is_named_by_both_ids_and_without_a_token(
    openbao: OpenBaoServer, change: dict[str, str], message: str
) -> None:
    settings = openbao.settings("deployer") | {"transitRoleId": "role", "transitSecretId": "env:SECRET_ID"}
    del settings["transitToken"]
    with pytest.raises(InvalidSettingError, match=message):
        vault_manager(settings | change)


def test_a_secret_id_that_is_written_out_is_refused(openbao: OpenBaoServer) -> None:
    settings = openbao.settings("deployer") | {"transitRoleId": "role", "transitSecretId": "11111111-2222"}
    del settings["transitToken"]
    with pytest.raises(InvalidSettingError, match="written out") as caught:
        vault_manager(settings).describe(_URI)
    assert "11111111" not in str(caught.value)


def test_a_token_of_the_environment_is_never_used(openbao: OpenBaoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", openbao.token("deployer"))
    manager = vault_manager(openbao.settings("deployer") | {"transitToken": "env:WRONG"})
    monkeypatch.setenv("WRONG", "s.not-the-token-of-anybody")
    with pytest.raises(BackendUnavailableError, match="the token is invalid"):
        manager.describe(_URI)
