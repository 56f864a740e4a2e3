"""Generations as versions of one Transit key: exactly the expected one comes to be, a crash doubles none, and the
oldest goes first."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from support.openbao import OpenBaoServer
from support.stores import SigningManager, spec, vault_manager, verifies

from keyrung_infra.local.client import Client
from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import KeySpec
from keyrung_provisioners.backends.transit import versions
from keyrung_provisioners.errors import BackendUnavailableError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri

_DATA = b"a message"


class _CrashError(Exception):
    """The process ends here."""


@pytest.fixture
def manager(openbao: OpenBaoServer) -> SigningManager:
    return vault_manager(openbao.settings("deployer"))


@pytest.fixture
def client(openbao: OpenBaoServer) -> Client:
    return openbao.client("deployer")


@pytest.fixture
def first(openbao: OpenBaoServer) -> KeySpec:
    return spec(KeyUri("transit", "keyrung", openbao.key_name("policy-signing")))


def _generation(first: KeySpec, generation: int) -> KeySpec:
    return replace(first, uri=first.uri.of_generation(generation))


def _read(client: Client, uri: KeyUri) -> Mapping[str, Any]:
    data: Mapping[str, Any] = client.call("GET", f"keyrung/keys/{uri.name}")["data"]
    return data


@contextmanager
def _crash_before(monkeypatch: pytest.MonkeyPatch, operation: str) -> Iterator[None]:
    """Have this process end just before it asks the server for ``operation``."""
    real = versions.post

    def post(server: Any, asked: str, *arguments: Any, **body: Any) -> None:
        if asked == operation:
            raise _CrashError
        real(server, asked, *arguments, **body)

    with monkeypatch.context() as patch:
        patch.setattr(versions, "post", post)
        with pytest.raises(_CrashError):
            yield


def test_each_generation_is_a_version_that_signs_as_itself(first: KeySpec, manager: SigningManager) -> None:
    made = [manager.create(_generation(first, generation)) for generation in (1, 2, 3)]
    assert [str(each.uri).rpartition(";")[2] for each in made[1:]] == ["version=2", "version=3"]
    for one in made:
        assert manager.describe(KeyUri.parse(str(one.uri))) == manager.describe(one.uri)
        assert manager.describe(one.uri).fingerprint == one.fingerprint
        assert manager.deviations(replace(first, uri=one.uri), one) == []
        signature = manager.sign(one.uri, _DATA)
        assert [verifies(other.public_key_pem, _DATA, signature) for other in made] == [other is one for other in made]


def test_a_version_is_made_once(first: KeySpec, manager: SigningManager, client: Client) -> None:
    for generation in (1, 2):
        manager.create(_generation(first, generation))
    for generation in (1, 2):
        with pytest.raises(KeyConflictError, match="exists already"):
            manager.create(_generation(first, generation))
    assert _read(client, first.uri)["latest_version"] == 2


def test_a_version_that_leaves_a_gap_or_another_type_is_refused(
    first: KeySpec, manager: SigningManager, client: Client
) -> None:
    manager.create(first)
    with pytest.raises(KeyConflictError, match="raise `generation` to 2"):
        manager.create(_generation(first, 3))
    seed_uri = KeyUri("transit", "keyrung", f"credential-seed-{secrets.token_hex(6)}")
    seed = replace(first, uri=seed_uri, algorithm="AES-256")
    manager.create(seed)
    with pytest.raises(KeyConflictError, match="of the type aes256-gcm96"):
        manager.create(replace(_generation(seed, 2), algorithm="P-256"))
    assert [_read(client, each.uri)["latest_version"] for each in (first, seed)] == [1, 1]


def test_a_sealing_key_has_later_generations_or_is_renewed_in_place_but_not_both(
    first: KeySpec, openbao: OpenBaoServer, client: Client
) -> None:
    manager = vault_manager(openbao.settings("deployer"))
    seeds = [
        replace(first, uri=KeyUri("transit", "keyrung", openbao.key_name("credential-seed")), algorithm="AES-256")
        for _ in range(2)
    ]
    for seed in seeds:
        manager.create(seed)
    made = [manager.describe(seeds[0].uri), manager.create(_generation(seeds[0], 2))]
    assert made[0].fingerprint != made[1].fingerprint
    for uri in (seeds[0].uri, seeds[0].uri.of_generation(2)):
        with pytest.raises(KeyRefusedError, match="next generation"):
            manager.rotate(uri)
    manager.rotate(seeds[1].uri)
    with pytest.raises(KeyConflictError, match="renewed in place"):
        manager.create(_generation(seeds[1], 3))
    manager.destroy(seeds[0].uri)
    assert manager.describe(made[1].uri) == made[1]
    for uri in (made[1].uri, seeds[1].uri):
        manager.destroy(uri)
        assert uri.name not in client.call("LIST", "keyrung/keys")["data"]["keys"]


def test_a_rotation_by_somebody_else_at_the_same_moment_is_a_conflict(
    first: KeySpec, manager: SigningManager, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.create(first)
    real = versions.post

    def post(server: Any, operation: str, uri: KeyUri, suffix: str, **body: object) -> None:
        if operation == "rotate":
            client.call("POST", f"keyrung/keys/{uri.name}/rotate")
        real(server, operation, uri, suffix, **body)

    with monkeypatch.context() as patch:
        patch.setattr(versions, "post", post)
        with pytest.raises(KeyConflictError, match="somebody else rotated"):
            manager.create(_generation(first, 2))


def test_versions_are_destroyed_from_the_oldest_up_and_the_last_takes_the_key_along(
    first: KeySpec, manager: SigningManager, client: Client
) -> None:
    uris = [first.uri.of_generation(generation) for generation in (1, 2, 3)]
    for uri in uris:
        manager.create(replace(first, uri=uri))
    for uri in uris[1:]:
        with pytest.raises(KeyRefusedError, match="destroy version 1 first"):
            manager.destroy(uri)

    for number, uri in enumerate(uris[:2], start=1):
        manager.destroy(uri)
        manager.destroy(uri)
        for gone in uris[:number]:
            with pytest.raises(KeyMissingError):
                manager.describe(gone)
            with pytest.raises(KeyMissingError):
                manager.sign(gone, _DATA)
        assert _read(client, uri)["min_available_version"] == number + 1  # the material itself is deleted
        assert verifies(manager.describe(uris[2]).public_key_pem, _DATA, manager.sign(uris[2], _DATA))

    manager.destroy(uris[2])
    manager.destroy(uris[2])
    assert first.uri.name not in client.call("LIST", "keyrung/keys")["data"]["keys"]


def test_a_destroyed_version_cannot_be_made_again(first: KeySpec, manager: SigningManager) -> None:
    for generation in (1, 2):
        manager.create(_generation(first, generation))
    manager.destroy(first.uri)
    with pytest.raises(KeyConflictError, match="exists already"):
        manager.create(first)


@pytest.mark.parametrize("operation", ["configure", "trim"])
def test_a_crash_while_a_version_is_destroyed_is_finished_by_the_next_run(
    first: KeySpec,
    manager: SigningManager,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
) -> None:
    for generation in (1, 2):
        manager.create(_generation(first, generation))
    with _crash_before(monkeypatch, operation):
        manager.destroy(first.uri)
    if operation == "trim":  # what is on its way out is gone for everybody
        with pytest.raises(KeyMissingError):
            manager.describe(first.uri)

    manager.destroy(first.uri)

    assert _read(client, first.uri)["min_available_version"] == 2
    assert manager.describe(first.uri.of_generation(2)).public_key_pem


def test_a_later_generation_is_made_where_none_is_left(first: KeySpec, manager: SigningManager, client: Client) -> None:
    made = manager.create(_generation(first, 3))
    assert list(_read(client, first.uri)["keys"]) == ["3"]
    assert _read(client, first.uri)["min_available_version"] == 3
    assert verifies(made.public_key_pem, _DATA, manager.sign(made.uri, _DATA))
    assert manager.deviations(_generation(first, 3), made) == []
    manager.create(_generation(first, 4))
    for generation in (3, 4):
        manager.destroy(first.uri.of_generation(generation))
    with pytest.raises(KeyMissingError):
        manager.describe(made.uri)


@pytest.mark.parametrize(
    ("generation", "operation"), [(2, "rotate"), (2, "trim"), (3, "rotate"), (3, "configure"), (3, "trim")]
)
def test_a_crash_on_the_way_to_a_later_generation_leaves_no_version_beside_it(
    openbao: OpenBaoServer, first: KeySpec, monkeypatch: pytest.MonkeyPatch, generation: int, operation: str
) -> None:
    client, manager = openbao.client("deployer"), vault_manager(openbao.settings("deployer"))
    later = _generation(first, generation)
    with _crash_before(monkeypatch, operation):
        manager.create(later)

    made = manager.create(later)

    assert list(_read(client, first.uri)["keys"]) == [str(generation)]
    assert _read(client, first.uri)["auto_rotate_period"] == 0
    assert manager.deviations(later, made) == []


def test_what_a_crash_left_on_the_way_is_destroyed_as_a_whole(
    first: KeySpec, manager: SigningManager, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = _generation(first, 3)
    with _crash_before(monkeypatch, "trim"):
        manager.create(later)
    manager.destroy(later.uri)
    assert first.uri.name not in client.call("LIST", "keyrung/keys")["data"]["keys"]


def test_a_key_that_rotates_by_itself_is_told(first: KeySpec, manager: SigningManager, client: Client) -> None:
    client.call(
        "POST",
        f"keyrung/keys/{first.uri.name}",
        {"type": algorithm("P-256").transit, "auto_rotate_period": "24h"},
    )
    assert manager.deviations(first, manager.describe(first.uri)) == ["auto_rotate_period"]


def test_a_sealed_vault_neither_makes_the_next_generation_nor_takes_a_key_in_and_does_both_once_unsealed(
    own_openbao: OpenBaoServer,
) -> None:
    manager = vault_manager(own_openbao.settings("deployer"))
    first = spec(KeyUri("transit", "keyrung", "policy-signing-one"))
    second = _generation(first, 2)
    manager.create(first)
    with own_openbao.root() as root:
        root.call("PUT", "sys/seal")
        for operation in (
            lambda: manager.create(second),
            lambda: manager.rotate(first.uri),
            lambda: manager.offer(second, hash_name="SHA-256"),
            lambda: manager.destroy(first.uri),
        ):
            with pytest.raises(BackendUnavailableError, match="is sealed or down"):
                operation()
        own_openbao.openbao.up()
    assert manager.create(second).attributes["version"] == 2
    assert manager.offer(second, hash_name="SHA-256").public_key_pem
