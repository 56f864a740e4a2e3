"""What a back end must do whose keys leave for another store, or that takes keys of other stores in."""

from dataclasses import replace
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.key_transport import Receiver, public_pem, receiver, wrapped_to
from support.stores import ExportingManager, ReceivingManager, verifies

from keyrung_provisioners import encoding
from keyrung_provisioners.api import Capability, Custody, KeySpec, Wrapping
from keyrung_provisioners.errors import InvalidSettingError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri, VaultUri

_DATA = b"a message"


class ExportingContract:
    """Keys that leave wrapped to another store, if they were declared portable."""

    @pytest.fixture
    def portable(self, declared: KeySpec, manager: ExportingManager) -> KeySpec:
        portable = replace(declared, custody=Custody.PORTABLE)
        assert manager.deviations(portable, manager.create(portable)) == []
        return portable

    def test_a_portable_key_leaves_wrapped_to_the_other_store_alone(
        self, portable: KeySpec, manager: ExportingManager, vault: VaultUri
    ) -> None:
        hash_name = manager.export_hash(vault)
        wrapped = manager.export(portable.uri, receiver().offer(hash_name))
        assert receiver().public_half(wrapped, hash_name) == manager.describe(portable.uri).public_key_pem
        with pytest.raises(ValueError, match=r"."):
            Receiver.new().public_half(wrapped, hash_name)
        assert manager.export(portable.uri, receiver().offer(hash_name)) != wrapped  # a fresh key between, each time

    def test_a_key_declared_sole_never_leaves_for_another_store(
        self, declared: KeySpec, manager: ExportingManager, vault: VaultUri
    ) -> None:
        manager.create(declared)
        with pytest.raises(KeyRefusedError):
            manager.export(declared.uri, receiver().offer(manager.export_hash(vault)))

    def test_a_portable_key_falls_short_of_a_sole_one_and_is_as_good_as_a_copied_one_once_locked(
        self, portable: KeySpec, manager: ExportingManager, vault: VaultUri
    ) -> None:
        assert manager.deviations(replace(portable, custody=Custody.SOLE), manager.describe(portable.uri))
        if Capability.WRAPPING in manager.capabilities:
            cast(Wrapping, manager).lock(portable.uri)
            with pytest.raises(KeyRefusedError):
                manager.export(portable.uri, receiver().offer(manager.export_hash(vault)))
        copied = replace(portable, custody=Custody.COPIED)
        assert manager.deviations(copied, manager.describe(portable.uri)) == []

    @pytest.mark.parametrize("offered", ["", "no key", "a weak key", "a key on a curve", "another hash"])
    def test_a_key_is_not_wrapped_to_what_is_no_strong_rsa_key(
        self, portable: KeySpec, manager: ExportingManager, vault: VaultUri, offered: str
    ) -> None:
        good = receiver().offer(manager.export_hash(vault))
        on_a_curve = manager.describe(portable.uri).public_key_pem or ""
        bad = {
            "a weak key": Receiver.new(2048).offer(good.hash_name),
            "a key on a curve": replace(good, public_key_pem=on_a_curve),
            "another hash": replace(good, hash_name="MD5"),
        }.get(offered, replace(good, public_key_pem=offered))
        with pytest.raises(InvalidSettingError):
            manager.export(portable.uri, bad)

    def test_a_missing_key_does_not_leave(self, uri: KeyUri, manager: ExportingManager, vault: VaultUri) -> None:
        with pytest.raises(KeyMissingError):
            manager.export(uri, receiver().offer(manager.export_hash(vault)))


class ReceivingContract:
    """Stores that take in a key wrapped to their own."""

    @pytest.fixture
    def foreign(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @pytest.fixture
    def copied(self, declared: KeySpec) -> KeySpec:
        return replace(declared, custody=Custody.COPIED)

    @pytest.mark.parametrize("hash_name", ["SHA-256", "SHA-1"])
    def test_a_received_key_is_the_same_key_and_never_leaves_again(
        self, copied: KeySpec, manager: ReceivingManager, foreign: ec.EllipticCurvePrivateKey, hash_name: str
    ) -> None:
        offer = manager.offer(copied, hash_name=hash_name)
        received = manager.receive(copied, offer, wrapped_to(offer, foreign))
        public = public_pem(foreign)
        assert received.public_key_pem == public
        assert received.fingerprint == encoding.thumbprint(public)
        assert manager.deviations(copied, received) == []
        assert manager.deviations(replace(copied, custody=Custody.RESTORED), received) == []
        assert manager.deviations(replace(copied, custody=Custody.SOLE), received)
        assert verifies(public, _DATA, manager.sign(copied.uri, _DATA))
        if Capability.EXPORTING in manager.capabilities:
            with pytest.raises(KeyRefusedError):
                cast(ExportingManager, manager).export(copied.uri, receiver().offer(hash_name))

    def test_nothing_is_received_over_another_key(
        self, copied: KeySpec, manager: ReceivingManager, foreign: ec.EllipticCurvePrivateKey
    ) -> None:
        offer = manager.offer(copied, hash_name="SHA-256")
        standing = manager.create(replace(copied, custody=Custody.SOLE, claim_id=b"somebody else's!"))
        with pytest.raises(KeyConflictError):
            manager.receive(copied, offer, wrapped_to(offer, foreign))
        assert manager.describe(copied.uri) == standing

    @pytest.mark.parametrize("what", ["altered", "short", "empty", "of another store", "of another hash"])
    def test_what_does_not_open_is_refused_and_leaves_nothing(
        self, copied: KeySpec, manager: ReceivingManager, foreign: ec.EllipticCurvePrivateKey, what: str
    ) -> None:
        offer = manager.offer(copied, hash_name="SHA-256")
        good = wrapped_to(offer, foreign)
        bad = {
            "altered": good[:-1] + bytes([good[-1] ^ 1]),
            "short": good[:-8],
            "empty": b"",
            "of another store": wrapped_to(receiver().offer("SHA-256"), foreign),
            "of another hash": wrapped_to(replace(offer, hash_name="SHA-1"), foreign),
        }[what]
        with pytest.raises(KeyRefusedError):
            manager.receive(copied, offer, bad)
        with pytest.raises(KeyMissingError):
            manager.describe(copied.uri)

    def test_another_hash_than_the_stores_know_is_refused(self, copied: KeySpec, manager: ReceivingManager) -> None:
        with pytest.raises(InvalidSettingError):
            manager.offer(copied, hash_name="MD5")
