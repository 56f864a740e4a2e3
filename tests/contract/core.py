"""What every back end must do. Each overrides the fixtures; the tests are the same for all."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import pytest
from support.secrets import leaks
from support.stores import spec

from keyrung_provisioners.api import Capability, KeyManager, KeySpec
from keyrung_provisioners.errors import InvalidSettingError, KeyConflictError, KeyMissingError, ProvisionerError
from keyrung_provisioners.uri import KeyUri, VaultUri

# A call of each operation of the core and of the abilities; only those that a back end states are made.
Operation = Callable[[KeyManager, KeyUri], object]


class CoreContract:
    """Vaults, and the life of a key that is made, read back and destroyed.

    Attributes:
        proven: The capabilities whose contracts the back end's class takes part in.
    """

    proven: ClassVar[frozenset[Capability]] = frozenset()
    operations: ClassVar[Mapping[str, Operation]] = {
        "ensure_vault": lambda manager, uri: manager.ensure_vault(uri.vault_uri, owner="urn:contract"),
        "describe_vault": lambda manager, uri: manager.describe_vault(uri.vault_uri),
        "create": lambda manager, uri: manager.create(spec(uri)),
        "describe": lambda manager, uri: manager.describe(uri),
        "destroy": lambda manager, uri: manager.destroy(uri),
        "names": lambda manager, uri: manager.names(uri.vault_uri),
    }

    @pytest.fixture
    def reopen(self) -> Callable[[], KeyManager]:
        """A maker of managers that know nothing of each other."""
        raise NotImplementedError

    @pytest.fixture
    def vault(self) -> VaultUri:
        """A vault that is there."""
        raise NotImplementedError

    @pytest.fixture
    def empty_vault(self) -> tuple[KeyManager, VaultUri, bool]:
        """A vault without keys and its manager; whether the back end makes and removes vaults."""
        raise NotImplementedError

    @pytest.fixture
    def weak(self) -> tuple[KeyUri, str]:
        """A key that something else made too weak, and the name of the attribute."""
        raise NotImplementedError

    @pytest.fixture
    def make_foreign(self) -> Callable[[str], None]:
        """A function that makes a key under a name, without any of our code."""
        raise NotImplementedError

    @pytest.fixture
    def unusable(self) -> tuple[KeyManager, frozenset[str]]:
        """A manager whose store cannot be used, in several ways, and the operations that work nevertheless."""
        raise NotImplementedError

    @pytest.fixture
    def hidden(self) -> dict[str, bytes]:
        """The secrets that the managers are configured with."""
        raise NotImplementedError

    @pytest.fixture
    def manager(self, reopen: Callable[[], KeyManager]) -> KeyManager:
        return reopen()

    @pytest.fixture
    def uri(self, vault: VaultUri) -> KeyUri:
        return vault.key(f"policy-signing-{secrets.token_hex(6)}")

    @pytest.fixture
    def declared(self, uri: KeyUri) -> KeySpec:
        return spec(uri)

    def test_each_stated_capability_is_put_to_its_test(self, manager: KeyManager) -> None:
        assert self.proven == manager.capabilities
        for capability, methods in _METHODS.items():
            for method in methods:
                assert hasattr(manager, method) == (capability in manager.capabilities), method

    def test_a_vault_that_is_there_is_described(self, manager: KeyManager, vault: VaultUri) -> None:
        found = manager.ensure_vault(vault, owner="urn:other")
        assert not found.created
        assert found.attributes
        assert manager.describe_vault(vault) == found

    def test_a_vault_is_removed_and_made_as_far_as_the_store_makes_vaults(
        self, empty_vault: tuple[KeyManager, VaultUri, bool]
    ) -> None:
        manager, vault, makes_vaults = empty_vault
        manager.remove_vault(vault)
        manager.remove_vault(vault)
        if makes_vaults:
            with pytest.raises(KeyMissingError):
                manager.describe_vault(vault)
        assert manager.ensure_vault(vault, owner="urn:contract").created == makes_vaults
        assert manager.ensure_vault(vault, owner="urn:contract").created == makes_vaults  # the same after a crash
        assert not manager.ensure_vault(vault, owner="urn:other").created

    def test_a_created_key_is_as_declared_and_reads_back_the_same(
        self, declared: KeySpec, manager: KeyManager, reopen: Callable[[], KeyManager]
    ) -> None:
        made = manager.create(declared)
        assert (made.uri, made.algorithm) == (declared.uri, declared.algorithm)
        assert made.claim_id in {None, declared.claim_id}
        assert manager.deviations(declared, made) == []
        assert reopen().describe(KeyUri.parse(str(declared.uri))) == made

    def test_nothing_is_created_under_a_name_that_is_taken(self, declared: KeySpec, manager: KeyManager) -> None:
        made = manager.create(declared)
        for again in (declared, replace(declared, claim_id=secrets.token_bytes(16))):
            with pytest.raises(KeyConflictError, match="pulumi import"):
                manager.create(again)
        assert manager.describe(declared.uri) == made

    def test_a_key_that_is_not_there_is_missing(self, uri: KeyUri, manager: KeyManager) -> None:
        with pytest.raises(KeyMissingError) as caught:
            manager.describe(uri)
        assert str(uri) in str(caught.value)

    def test_destroying_twice_is_destroying_once(self, declared: KeySpec, manager: KeyManager) -> None:
        manager.create(declared)
        manager.destroy(declared.uri)
        manager.destroy(declared.uri)
        with pytest.raises(KeyMissingError):
            manager.describe(declared.uri)

    def test_a_destroyed_key_is_gone_for_a_manager_that_used_it(
        self, declared: KeySpec, manager: KeyManager, reopen: Callable[[], KeyManager]
    ) -> None:
        other = reopen()
        other.create(declared)
        manager.destroy(declared.uri)
        with pytest.raises(KeyMissingError):
            other.describe(declared.uri)

    def test_every_key_of_a_vault_is_named_whoever_made_it(
        self, declared: KeySpec, vault: VaultUri, manager: KeyManager, make_foreign: Callable[[str], None]
    ) -> None:
        foreign = f"foreign-{secrets.token_hex(6)}"
        manager.create(declared)
        make_foreign(foreign)
        found = manager.names(vault)
        assert {declared.uri.name, foreign} <= set(found)
        assert found == sorted(set(found))
        manager.destroy(declared.uri)
        assert declared.uri.name not in manager.names(vault)

    def test_a_vault_without_keys_has_no_names(self, empty_vault: tuple[KeyManager, VaultUri, bool]) -> None:
        manager, vault, _ = empty_vault
        assert manager.names(vault) == []

    def test_a_vault_that_is_not_there_has_no_list_of_names(
        self, empty_vault: tuple[KeyManager, VaultUri, bool]
    ) -> None:
        manager, vault, makes_vaults = empty_vault
        manager.remove_vault(vault)
        if makes_vaults:
            with pytest.raises(KeyMissingError):
                manager.names(vault)

    def test_what_a_good_key_reports_is_what_is_required(self, declared: KeySpec, manager: KeyManager) -> None:
        made, required = manager.create(declared), manager.required(declared)
        assert required
        assert {name: made.attributes[name] for name in required} == required

    def test_a_weak_key_is_told_by_the_attribute(self, weak: tuple[KeyUri, str], manager: KeyManager) -> None:
        uri, attribute = weak
        assert attribute in manager.deviations(spec(uri), manager.describe(uri))

    def test_another_algorithm_than_declared_is_told(self, declared: KeySpec, manager: KeyManager) -> None:
        made = manager.create(declared)
        assert manager.deviations(replace(declared, algorithm="AES-256"), made)

    def test_an_algorithm_that_nobody_knows_is_refused(self, declared: KeySpec, manager: KeyManager) -> None:
        with pytest.raises(InvalidSettingError):
            manager.create(replace(declared, algorithm="P-257"))
        with pytest.raises(KeyMissingError):
            manager.describe(declared.uri)

    def test_a_store_that_cannot_be_used_is_one_of_our_errors_and_tells_no_secret(
        self, unusable: tuple[KeyManager, frozenset[str]], uri: KeyUri, hidden: dict[str, bytes]
    ) -> None:
        manager, working = unusable
        for name in self.operations.keys() - working:
            with pytest.raises(ProvisionerError) as caught:
                self.operations[name](manager, uri)
            assert not isinstance(caught.value, KeyMissingError | KeyConflictError), name
            shown = f"{caught.value} {caught.value!r} {caught.value.fields} {caught.value.fix}"
            assert leaks(hidden, {name: shown.encode()}) == []

    def test_a_manager_shows_no_secret(self, manager: KeyManager, declared: KeySpec, hidden: dict[str, bytes]) -> None:
        manager.create(declared)
        shown = f"{manager!r} {manager} {vars(manager)!r} {[repr(value) for value in vars(manager).values()]}"
        assert leaks(hidden, {"manager": shown.encode()}) == []


_METHODS = {
    Capability.SIGNING: ("sign",),
    Capability.SEALING: ("seal", "seal_many", "open"),
    Capability.WRAPPING: ("wrap", "lock"),
    Capability.IMPORTING: ("rehearse", "rewrap", "forward", "import_wrapped"),
    Capability.EXPORTING: ("export_hash", "export"),
    Capability.RECEIVING: ("offer", "receive"),
    Capability.ROTATING: ("rotate",),
}
