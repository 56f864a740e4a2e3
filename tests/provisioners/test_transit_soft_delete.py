"""Soft delete: a destroyed key is gone for us, and an administrator of the server can still bring it back."""

from pathlib import Path

import pytest
from support.openbao import OpenBaoServer
from support.stores import broad_settings, spec, vault_manager

from keyrung_provisioners.errors import InvalidSettingError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri

_DATA = b"a message"


def test_a_soft_deleted_key_is_missing_signs_nothing_and_keeps_its_name_until_it_is_restored(
    openbao: OpenBaoServer, tmp_path: Path
) -> None:
    settings = broad_settings(openbao, tmp_path)
    manager = vault_manager(settings | {"transitSoftDelete": "true"})
    declared = spec(KeyUri("transit", "keyrung", openbao.key_name("policy-signing")))
    made = manager.create(declared)
    manager.destroy(declared.uri)
    manager.destroy(declared.uri)
    for use in (lambda: manager.describe(declared.uri), lambda: manager.sign(declared.uri, _DATA)):
        with pytest.raises(KeyMissingError, match="soft-deleted"):
            use()
    with pytest.raises(KeyConflictError):
        manager.create(declared)
    with pytest.raises(KeyRefusedError, match="still holds"):
        manager.remove_vault(declared.uri.vault_uri)

    with openbao.root() as root:
        root.call("POST", f"keyrung/keys/{declared.uri.name}/soft-delete-restore")
    assert manager.describe(declared.uri) == made

    manager.destroy(declared.uri)
    vault_manager(settings).destroy(declared.uri)  # one that deletes for good finishes it
    assert declared.uri.name not in manager.names(declared.uri.vault_uri)


def test_soft_delete_is_a_switch(openbao: OpenBaoServer) -> None:
    with pytest.raises(InvalidSettingError, match="true or false"):
        vault_manager(openbao.settings("deployer") | {"transitSoftDelete": "yes"})
