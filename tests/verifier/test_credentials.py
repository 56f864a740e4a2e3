"""Adding, listing and revoking what subjects hold."""

import base64
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from support.verifier import UnsafeTestKey, World

from keyrung_verifier.credentials import Seed
from keyrung_verifier.errors import CredentialError


def test_a_new_authenticator_is_shown_once_and_kept_sealed(world: World) -> None:
    made = world.credentials.add_totp("alice", sealer=world.sealer, issuer_name="Sample Bank")

    seed = base64.b32decode(made.secret_base32)
    assert len(seed) == 20
    (held,) = world.credentials.list("alice")
    assert held.credential_id == made.credential_id
    assert held.sealed_seed is not None
    assert made.secret_base32 not in held.sealed_seed
    world.store.close()
    assert seed not in b"".join(path.read_bytes() for path in world.folder.iterdir())


def test_the_uri_is_what_authenticator_apps_read(world: World) -> None:
    made = world.credentials.add_totp("alice@example.com", sealer=world.sealer, issuer_name="Sample Bank")

    uri = urlsplit(made.otpauth_uri)
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Sample%20Bank:alice%40example.com")
    assert parse_qs(uri.query) == {
        "secret": [made.secret_base32],
        "issuer": ["Sample Bank"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }


def test_a_token_key_is_named_by_its_thumbprint_and_belongs_to_one_subject(world: World) -> None:
    key = UnsafeTestKey("token")

    added = world.credentials.add_token(
        "alice", public_jwk=key.public_jwk | {"use": "sig"}, evidence={"hardware": True}, prove=key.sign
    )

    assert added.credential_id == key.key_id
    assert added.public_jwk == key.public_jwk
    with pytest.raises(CredentialError, match="registered already"):
        world.credentials.add_token("mallory", public_jwk=key.public_jwk, evidence={}, prove=key.sign)


def test_a_key_whose_private_half_is_not_at_hand_is_refused(world: World) -> None:
    key, other = UnsafeTestKey("token"), UnsafeTestKey("other")
    signed: list[bytes] = []

    def replayed(data: bytes) -> bytes:
        signed.append(data)
        return key.sign(signed[0])

    for prove in (other.sign, lambda _data: b"", lambda _data: bytes(64)):
        with pytest.raises(CredentialError, match="does not prove that it holds this key"):
            world.credentials.add_token("alice", public_jwk=key.public_jwk, evidence={}, prove=prove)
    assert world.credentials.list() == []
    added = world.credentials.add_token("alice", public_jwk=key.public_jwk, evidence={}, prove=replayed)
    assert added.evidence["possession_proven"] is True
    # A signature is good for one enrolment: what is to be signed is new each time and names the subject.
    with pytest.raises(CredentialError, match="does not prove"):
        world.credentials.add_token("alice", public_jwk=key.public_jwk, evidence={}, prove=replayed)
    assert len(set(signed)) == 2


def test_several_are_added_together_or_not_at_all(world: World) -> None:
    seeds = [Seed(subject_id=subject, seed=bytes(20)) for subject in ("alice", "bob", "alice")]
    added = world.credentials.add_seeds(seeds, sealer=world.sealer)
    assert len({each.credential_id for each in added}) == 3
    assert len(world.records("credential.added")) == 3

    too_many = [Seed(subject_id="carol", seed=bytes(20)), *(Seed(subject_id="alice", seed=bytes(20)) for _ in range(4))]
    with pytest.raises(CredentialError, match="'alice' is registered already, or the subject holds too many"):
        world.credentials.add_seeds(too_many, sealer=world.sealer)
    assert world.credentials.list("carol") == []
    assert len(world.records("credential.added")) == 3


@pytest.mark.parametrize("change", [{"d": "AAAA"}, {"y": "A" * 43}, {"crv": "P-521"}, {"kty": "oct"}])
def test_a_key_that_is_no_public_key_of_ours_is_refused(world: World, change: dict[str, str]) -> None:
    key = UnsafeTestKey("token")
    with pytest.raises(CredentialError, match="public JWK"):
        world.credentials.add_token("alice", public_jwk=key.public_jwk | change, evidence={}, prove=key.sign)


def test_evidence_that_has_no_exact_form_is_refused(world: World) -> None:
    key = UnsafeTestKey("token")
    evidence: dict[str, str | int | bool] = {"size": 2**60}

    with pytest.raises(CredentialError, match="evidence"):
        world.credentials.add_token("alice", public_jwk=key.public_jwk, evidence=evidence, prove=key.sign)


@pytest.mark.parametrize("subject", ["", "a\n", "a\x00b", "x" * 257])
def test_a_subject_that_has_no_one_spelling_is_refused(world: World, subject: str) -> None:
    with pytest.raises(CredentialError, match="subject id"):
        world.credentials.add_totp(subject, sealer=world.sealer, issuer_name="Sample Bank")


def test_a_credential_is_revoked_once_and_stays_listed(world: World) -> None:
    totp = world.enrol_totp()

    world.credentials.revoke(totp.credential_id)

    assert world.credentials.list("alice")[0].revoked_at_seconds is not None
    with pytest.raises(CredentialError, match="revoked before"):
        world.credentials.revoke(totp.credential_id)
    with pytest.raises(CredentialError, match="keyrung credential list"):
        world.credentials.revoke("nobody")


def test_a_revoked_key_cannot_be_registered_again(world: World) -> None:
    key = world.enrol_token()
    world.credentials.revoke(key.key_id)

    with pytest.raises(CredentialError):
        world.enrol_token()


def test_a_subject_holds_a_bounded_number_of_authenticators(world: World) -> None:
    for _ in range(5):
        world.enrol_totp()

    with pytest.raises(CredentialError, match="too many"):
        world.enrol_totp()


def test_every_change_is_in_the_log(world: World) -> None:
    totp = world.enrol_totp()
    world.credentials.revoke(totp.credential_id)

    assert [(record["event"], record["factor"], record["credential_id"]) for record in world.records()[-2:]] == [
        ("credential.added", "otp", totp.credential_id),
        ("credential.revoked", "otp", totp.credential_id),
    ]


def test_a_credential_that_cannot_be_sealed_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)

    class Sealed:
        key_uri = "software:name=seeds"
        generation = 1
        state = "active"

        def seal_many(self, items: Sequence[tuple[bytes, bytes]]) -> list[str]:
            raise RuntimeError("sealed")

        def open(self, sealed: str, *, context: bytes) -> bytes:
            raise RuntimeError("sealed")

    with pytest.raises(RuntimeError):
        world.credentials.add_totp("alice", sealer=Sealed(), issuer_name="Sample Bank")

    assert world.credentials.list() == []
    assert world.records("credential.added") == []
    world.close()
