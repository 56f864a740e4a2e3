"""What a back end must do for each capability that it states."""

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.stores import EscrowingManager, RotatingManager, SealingManager, SigningManager, spec, verifies

from keyrung_provisioners.api import Custody, KeySpec, Purpose
from keyrung_provisioners.errors import KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri, VaultUri

_DATA = b"a message"


class SigningContract:
    """Keys that sign."""

    def test_a_signature_by_a_reopened_key_verifies_over_its_data_only(
        self, declared: KeySpec, manager: SigningManager, reopen: Callable[[], SigningManager]
    ) -> None:
        made = manager.create(declared)
        signature = reopen().sign(KeyUri.parse(str(declared.uri)), _DATA)
        assert verifies(made.public_key_pem, _DATA, signature)
        assert not verifies(made.public_key_pem, _DATA + b"!", signature)
        assert not verifies(made.public_key_pem, _DATA, signature[:-1] + bytes([signature[-1] ^ 1]))

    @pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)) * 400])
    def test_data_of_any_length_is_signed(self, declared: KeySpec, manager: SigningManager, data: bytes) -> None:
        made = manager.create(declared)
        assert verifies(made.public_key_pem, data, manager.sign(declared.uri, data))

    def test_a_missing_key_signs_nothing(self, uri: KeyUri, manager: SigningManager) -> None:
        with pytest.raises(KeyMissingError):
            manager.sign(uri, _DATA)

    def test_a_destroyed_key_signs_no_more(
        self, declared: KeySpec, manager: SigningManager, reopen: Callable[[], SigningManager]
    ) -> None:
        manager.create(declared)
        manager.sign(declared.uri, _DATA)
        reopen().destroy(declared.uri)
        with pytest.raises(KeyMissingError):
            manager.sign(declared.uri, _DATA)

    def test_a_key_made_anew_under_the_name_signs_as_itself(
        self, declared: KeySpec, manager: SigningManager, reopen: Callable[[], SigningManager]
    ) -> None:
        manager.create(declared)
        manager.sign(declared.uri, _DATA)
        other = reopen()
        other.destroy(declared.uri)
        made = other.create(declared)
        assert verifies(made.public_key_pem, _DATA, manager.sign(declared.uri, _DATA))


class SealingContract:
    """Keys that seal small secrets."""

    @pytest.fixture
    def seed_key(self, vault: VaultUri, manager: SealingManager) -> KeyUri:
        uri = vault.key(f"credential-seed-{secrets.token_hex(6)}")
        made = manager.create(spec(uri, algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED))
        assert made.public_key_pem is None
        return uri

    def test_what_is_sealed_opens_under_its_context_only(
        self, seed_key: KeyUri, manager: SealingManager, reopen: Callable[[], SealingManager]
    ) -> None:
        sealed = manager.seal(seed_key, b"a seed", context=b"person 1")
        assert reopen().open(KeyUri.parse(str(seed_key)), sealed, context=b"person 1") == b"a seed"
        for context in (b"person 2", b""):
            with pytest.raises(KeyRefusedError):
                manager.open(seed_key, sealed, context=context)

    def test_many_are_sealed_in_their_order_each_under_its_own_context(
        self, seed_key: KeyUri, manager: SealingManager
    ) -> None:
        items = [(b"seed %d" % number, b"person %d" % number) for number in range(3)]
        sealed = manager.seal_many(seed_key, items)
        assert [
            manager.open(seed_key, text, context=context) for text, (_, context) in zip(sealed, items, strict=True)
        ] == [plaintext for plaintext, _ in items]
        with pytest.raises(KeyRefusedError):
            manager.open(seed_key, sealed[0], context=b"person 1")
        assert list(manager.seal_many(seed_key, [])) == []

    def test_a_sealed_text_that_was_altered_is_refused(self, seed_key: KeyUri, manager: SealingManager) -> None:
        sealed = manager.seal(seed_key, b"a seed", context=b"c")
        middle = len(sealed) - 10
        flipped = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
        for altered in (flipped, sealed[:-4], sealed[5:], "", "\0", sealed + "AAAA"):
            with pytest.raises(KeyRefusedError):
                manager.open(seed_key, altered, context=b"c")

    def test_a_text_of_another_key_is_refused(self, seed_key: KeyUri, vault: VaultUri, manager: SealingManager) -> None:
        other = vault.key(f"credential-seed-{secrets.token_hex(6)}")
        manager.create(spec(other, algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED))
        with pytest.raises(KeyRefusedError):
            manager.open(other, manager.seal(seed_key, b"a seed", context=b"c"), context=b"c")

    def test_a_missing_key_neither_seals_nor_opens_nor_comes_to_be(
        self, uri: KeyUri, seed_key: KeyUri, manager: SealingManager
    ) -> None:
        sealed = manager.seal(seed_key, b"a seed", context=b"c")
        with pytest.raises(KeyMissingError):
            manager.seal(uri, b"a seed", context=b"c")
        with pytest.raises(KeyMissingError):
            manager.open(uri, sealed, context=b"c")
        with pytest.raises(KeyMissingError):
            manager.describe(uri)

    def test_the_fingerprint_of_a_sealing_key_is_its_own_and_stays(
        self, seed_key: KeyUri, vault: VaultUri, manager: SealingManager
    ) -> None:
        other = vault.key(f"credential-seed-{secrets.token_hex(6)}")
        made = manager.create(spec(other, algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED))
        assert manager.describe(seed_key).fingerprint == manager.describe(seed_key).fingerprint
        assert made.fingerprint != manager.describe(seed_key).fingerprint


class RotatingContract:
    """Sealing keys whose material is renewed under the same name."""

    @pytest.fixture
    def renewed(self, vault: VaultUri, manager: RotatingManager) -> KeySpec:
        declared = spec(
            vault.key(f"credential-seed-{secrets.token_hex(6)}"), algorithm="AES-256", purpose=Purpose.CREDENTIAL_SEED
        )
        manager.create(declared)
        return declared

    def test_what_was_sealed_before_a_renewal_still_opens_and_the_key_stays_the_declared_one(
        self, renewed: KeySpec, manager: RotatingManager, reopen: Callable[[], RotatingManager]
    ) -> None:
        before = manager.describe(renewed.uri)
        old = manager.seal(renewed.uri, b"a seed", context=b"c")
        after = manager.rotate(renewed.uri)
        assert after.fingerprint == before.fingerprint
        assert manager.deviations(renewed, after) == []
        new = reopen().seal(renewed.uri, b"a seed", context=b"c")
        for sealed in (old, new):
            assert reopen().open(renewed.uri, sealed, context=b"c") == b"a seed"

    def test_a_renewed_key_is_destroyed_with_all_its_renewals(self, renewed: KeySpec, manager: RotatingManager) -> None:
        manager.rotate(renewed.uri)
        sealed = manager.seal(renewed.uri, b"a seed", context=b"c")
        manager.destroy(renewed.uri)
        with pytest.raises(KeyMissingError):
            manager.describe(renewed.uri)
        with pytest.raises(KeyMissingError):
            manager.open(renewed.uri, sealed, context=b"c")

    def test_a_missing_key_is_not_renewed_and_a_signing_key_neither(
        self, uri: KeyUri, declared: KeySpec, manager: RotatingManager
    ) -> None:
        with pytest.raises(KeyMissingError):
            manager.rotate(uri)
        made = manager.create(declared)
        with pytest.raises(KeyRefusedError):
            manager.rotate(declared.uri)
        assert manager.describe(declared.uri) == made


class EscrowingContract:
    """Keys that leave wrapped until they are locked, and come back (Wrapping and Importing): pairs and secret keys."""

    @pytest.fixture(params=["P-256", "AES-256"])
    def sole(self, request: pytest.FixtureRequest, declared: KeySpec) -> KeySpec:
        purpose = Purpose.KEK if request.param == "AES-256" else Purpose.POLICY_SIGNING
        return replace(declared, algorithm=request.param, purpose=purpose)

    @pytest.fixture
    def wrapping_key(self) -> bytearray:
        return bytearray(secrets.token_bytes(32))

    @pytest.fixture
    def escrowing(self, sole: KeySpec, manager: EscrowingManager) -> KeySpec:
        escrowing = replace(sole, custody=Custody.ESCROWING)
        assert manager.deviations(escrowing, manager.create(escrowing)) == []
        return escrowing

    def test_a_key_declared_sole_never_leaves(
        self, sole: KeySpec, manager: EscrowingManager, wrapping_key: bytearray
    ) -> None:
        manager.create(sole)
        with pytest.raises(KeyRefusedError):
            manager.wrap(sole.uri, wrapping_key)

    def test_a_locked_key_leaves_no_more(
        self, escrowing: KeySpec, manager: EscrowingManager, wrapping_key: bytearray
    ) -> None:
        locked = manager.lock(escrowing.uri)
        assert manager.deviations(replace(escrowing, custody=Custody.ESCROWED), locked) == []
        assert manager.deviations(replace(escrowing, custody=Custody.SOLE), locked)
        assert manager.lock(escrowing.uri) == locked
        with pytest.raises(KeyRefusedError):
            manager.wrap(escrowing.uri, wrapping_key)

    def test_a_wrapped_key_comes_back_as_the_same_key_and_locked(
        self, escrowing: KeySpec, manager: EscrowingManager, wrapping_key: bytearray, vault: VaultUri
    ) -> None:
        made = manager.describe(escrowing.uri)
        wrapped = manager.wrap(escrowing.uri, wrapping_key)
        assert (wrapped.fingerprint, wrapped.public_key_pem) == (made.fingerprint, made.public_key_pem)
        shown = manager.rehearse(vault, wrapped, wrapping_key, _DATA)
        if made.public_key_pem is None:
            assert shown.decode() == made.fingerprint
            sealed = manager.seal(escrowing.uri, _DATA, context=b"c")
        else:
            assert verifies(made.public_key_pem, _DATA, shown)
        manager.destroy(escrowing.uri)
        restored = manager.import_wrapped(escrowing.uri, wrapped, wrapping_key)
        assert restored.fingerprint == made.fingerprint
        assert manager.deviations(replace(escrowing, custody=Custody.RESTORED), restored) == []
        assert manager.import_wrapped(escrowing.uri, wrapped, wrapping_key) == restored
        if made.public_key_pem is None:
            assert manager.open(escrowing.uri, sealed, context=b"c") == _DATA
        else:
            assert verifies(made.public_key_pem, _DATA, manager.sign(escrowing.uri, _DATA))
        with pytest.raises(KeyRefusedError):
            manager.wrap(escrowing.uri, wrapping_key)

    def test_another_wrapping_key_opens_nothing_and_leaves_nothing(
        self, escrowing: KeySpec, manager: EscrowingManager, wrapping_key: bytearray, vault: VaultUri
    ) -> None:
        wrapped = manager.wrap(escrowing.uri, wrapping_key)
        other, elsewhere = bytearray(secrets.token_bytes(32)), vault.key("policy-signing-elsewhere")
        with pytest.raises(KeyRefusedError):
            manager.rehearse(vault, wrapped, other, _DATA)
        with pytest.raises(KeyRefusedError):
            manager.import_wrapped(elsewhere, wrapped, other)
        with pytest.raises(KeyMissingError):
            manager.describe(elsewhere)

    def test_a_key_is_not_restored_over_another(
        self, escrowing: KeySpec, manager: EscrowingManager, wrapping_key: bytearray, vault: VaultUri
    ) -> None:
        wrapped = manager.wrap(escrowing.uri, wrapping_key)
        for algorithm, purpose in (("P-256", Purpose.POLICY_SIGNING), ("AES-256", Purpose.KEK)):
            taken = vault.key(f"{purpose}-taken")
            standing = manager.create(spec(taken, algorithm=algorithm, purpose=purpose))
            with pytest.raises(KeyConflictError):
                manager.import_wrapped(taken, wrapped, wrapping_key)
            assert manager.describe(taken) == standing
