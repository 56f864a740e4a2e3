"""Keys in files: what is at rest, what becomes of files that were touched, and what a crash leaves."""

import base64
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from support.secrets import files, leaks
from support.stores import SealingManager, SigningManager, spec

from keyrung_provisioners.api import Custody, KeyDescription, KeySpec, Purpose
from keyrung_provisioners.backends.software.files import open_vault, read_key
from keyrung_provisioners.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    KeyAlteredError,
    KeyConflictError,
    KeyMissingError,
    KeyRefusedError,
)
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import VaultUri

_PASSPHRASE = "correct horse battery staple"
_VAULT = VaultUri("software", "keys")
_KEY, _OTHER = _VAULT.key("policy-signing"), _VAULT.key("other")


class SoftwareManager(SigningManager, SealingManager):
    """The back end for files."""


@pytest.fixture
def at_rest(tmp_path: Path) -> Path:
    return tmp_path / "at-rest"


def _open(tmp_path: Path) -> SoftwareManager:
    (tmp_path / "passphrase").write_text(_PASSPHRASE)
    settings = {"softwareFolder": "at-rest", "softwarePassphrase": "file:passphrase"}
    return cast(SoftwareManager, open_manager("software", settings, root=tmp_path))


@pytest.fixture
def manager(tmp_path: Path) -> SoftwareManager:
    made = _open(tmp_path)
    made.ensure_vault(_VAULT, owner="urn:o")
    return made


@pytest.fixture
def seed_key() -> KeySpec:
    return spec(_VAULT.key("seed"), algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED)


def test_opening_warns_that_no_hardware_holds_the_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert type(_open(tmp_path)).__name__.startswith("Unsafe")
    assert "not by hardware" in caplog.text


def test_the_evidence_says_that_it_is_no_hardware(manager: SoftwareManager) -> None:
    assert manager.create(spec(_KEY)).attributes["hardware"] is False
    assert manager.describe_vault(_VAULT).attributes["hardware"] is False


def test_nothing_secret_is_at_rest(manager: SoftwareManager, seed_key: KeySpec, at_rest: Path) -> None:
    manager.create(seed_key)
    manager.create(spec(_KEY))
    vault = open_vault(at_rest / "keys", passphrase=_PASSPHRASE)
    opened = {name: read_key(vault, name).secret for name in ("seed", "policy-signing")}
    found = files(at_rest)
    assert leaks({**opened, "passphrase": _PASSPHRASE.encode()}, found) == []
    assert {oct(Path(path).stat().st_mode & 0o777) for path in found} == {"0o600"}
    assert oct((at_rest / "keys").stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("policy-signing", "audit-signing"),
        ('"algorithm": "P-256"', '"algorithm": "AES-256"'),
        ('"claim_id": "', '"claim_id": "00'),
        ('"sealed": "', '"sealed": "A'),
        ('"sealed"', '"sealde"'),
        ("software-key/v1", "software-key/v2"),
        ("{", "["),
        ('"P-256"', "256"),
    ],
)
def test_a_file_that_was_altered_is_refused(manager: SoftwareManager, at_rest: Path, was: str, becomes: str) -> None:
    manager.create(spec(_OTHER))
    path = at_rest / "keys" / "other.key"
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, becomes))
    for operation in (manager.describe, lambda uri: manager.sign(uri, b"data")):
        with pytest.raises(KeyAlteredError):
            operation(_OTHER)


def test_a_file_under_another_name_or_in_another_folder_is_refused(manager: SoftwareManager, at_rest: Path) -> None:
    manager.create(spec(_KEY))
    elsewhere = VaultUri("software", "elsewhere")
    manager.ensure_vault(elsewhere, owner="urn:o")
    data = (at_rest / "keys" / "policy-signing.key").read_bytes()
    (at_rest / "keys" / "other.key").write_bytes(data)
    (at_rest / "elsewhere" / "policy-signing.key").write_bytes(data)
    for uri in (_OTHER, elsewhere.key("policy-signing")):
        with pytest.raises(KeyAlteredError):
            manager.describe(uri)


def test_a_crash_before_the_file_has_its_name_leaves_no_key(
    manager: SoftwareManager, at_rest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(BackendUnavailableError):
            manager.create(spec(_KEY))
    assert [path.name for path in (at_rest / "keys").iterdir()] == ["vault.json"]
    with pytest.raises(KeyMissingError):
        manager.describe(_KEY)


def test_of_several_that_create_one_key_at_once_one_wins(manager: SoftwareManager, tmp_path: Path) -> None:
    def attempt(opened: SoftwareManager) -> KeyDescription | None:
        try:
            return opened.create(spec(_KEY))
        except KeyConflictError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [found for found in pool.map(attempt, [_open(tmp_path) for _ in range(8)]) if found]
    assert made == [manager.describe(_KEY)]


def test_a_vault_with_keys_stays_and_drafts_of_a_crash_go_with_an_empty_one(
    manager: SoftwareManager, at_rest: Path
) -> None:
    manager.create(spec(_KEY))
    with pytest.raises(KeyRefusedError, match="1 keys"):
        manager.remove_vault(_VAULT)
    manager.destroy(_KEY)
    (at_rest / "keys" / ".0123456789abcdef").write_text("a draft")
    manager.remove_vault(_VAULT)
    assert list(at_rest.iterdir()) == []


def test_a_key_does_what_it_was_made_for_only(manager: SoftwareManager, seed_key: KeySpec) -> None:
    manager.create(spec(_KEY))
    manager.create(seed_key)
    for attempt in (
        lambda: manager.sign(seed_key.uri, b"data"),
        lambda: manager.seal(_KEY, b"data", context=b""),
        lambda: manager.open(_KEY, base64.urlsafe_b64encode(bytes(40)).decode(), context=b""),
        lambda: manager.create(replace(spec(_OTHER), custody=Custody.ESCROWING)),
    ):
        with pytest.raises(KeyRefusedError):
            attempt()


def test_a_passphrase_that_is_written_out_or_left_out_is_refused(tmp_path: Path) -> None:
    settings = {"softwareFolder": "at-rest", "softwarePassphrase": _PASSPHRASE}
    with pytest.raises(InvalidSettingError) as caught:
        open_manager("software", settings, root=tmp_path).ensure_vault(_VAULT, owner="urn:o")
    assert _PASSPHRASE not in str(caught.value)
    for missing in settings:
        with pytest.raises(InvalidSettingError, match=missing):
            open_manager("software", {**settings, missing: ""}, root=tmp_path)
