"""Our lean calls of KMS and the boto3 back end of the provisioners are two hands of one key."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from support.aws import REGION, aws_client, sdk_client, url
from support.kms import put_kms_right
from support.moto_server import FAULTS, Fault
from support.stores import spec, verifies
from support.verifier import UnsafeTestKey, World

from keyrung_policies import jws
from keyrung_provisioners import encoding
from keyrung_provisioners.api import KeyDescription, Purpose
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri
from keyrung_verifier.assertion import sign_checked
from keyrung_verifier.aws.client import AwsClient
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.aws.errors import AwsRefusedError, AwsUnavailableError
from keyrung_verifier.aws.kms import MAX_MESSAGE_BYTES, KmsSealer, KmsSigner, parse_uri
from keyrung_verifier.errors import ConfigurationError, SigningFailedError, StrictFormError
from keyrung_verifier.protocols import Sealer, Signer

SIGNING, SEALING = KeyUri("awskms", REGION, "assertion"), KeyUri("awskms", REGION, "seeds")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-key-of-anybody")
    put_kms_right(monkeypatch)


@pytest.fixture
def provisioned(moto: Endpoint) -> Callable[[KeyUri, str], KeyDescription]:
    def make(uri: KeyUri, algorithm: str) -> KeyDescription:
        made: KeyDescription = manager(moto).create(spec(uri, algorithm=algorithm, purpose=Purpose.ASSERTION_SIGNING))
        return made

    return make


def manager(moto: Endpoint):  # type: ignore[no-untyped-def] # each test needs another ability of it
    return open_manager("awskms", {"awskmsEndpoint": url(moto)}, root=Path("/"))


def signer(moto: Endpoint, pem: str | None, uri: KeyUri = SIGNING) -> KmsSigner:
    return KmsSigner(
        client=aws_client("kms", moto),
        key_uri=str(uri),
        public_jwk=encoding.public_jwk(pem or ""),
        generation=1,
        state="active",
    )


def sealer(moto: Endpoint, uri: KeyUri = SEALING) -> KmsSealer:
    return KmsSealer(client=aws_client("kms", moto), key_uri=str(uri), generation=1, state="active")


@pytest.mark.parametrize("size_bytes", [1, 32, 900, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1, 20_000])
def test_both_hands_sign_under_one_public_key(
    moto: Endpoint, provisioned: Callable[[KeyUri, str], KeyDescription], size_bytes: int
) -> None:
    made = provisioned(SIGNING, "P-256")
    ours: Signer = signer(moto, made.public_key_pem)
    data = b"x" * size_bytes

    assert ours.key_id == made.fingerprint
    for signature in (sign_checked(ours, data), manager(moto).sign(SIGNING, data)):
        assert verifies(made.public_key_pem, data, signature)
        assert not verifies(made.public_key_pem, data + b"!", signature)


def test_a_signature_of_another_key_behind_the_alias_is_not_given_out(
    moto: Endpoint, provisioned: Callable[[KeyUri, str], KeyDescription]
) -> None:
    made = provisioned(SIGNING, "P-256")
    other = provisioned(KeyUri("awskms", REGION, "other"), "P-256")
    sdk_client("kms", moto).update_alias(AliasName="alias/assertion", TargetKeyId=other.attributes["Arn"])

    with pytest.raises(SigningFailedError, match="wrong signature"):
        sign_checked(signer(moto, made.public_key_pem), b"data")


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("DisabledException", AwsRefusedError),
        ("KMSInvalidStateException", AwsRefusedError),  # pending deletion
        ("ThrottlingException", AwsUnavailableError),
    ],
)
def test_a_key_that_may_not_sign_now_signs_nothing(
    moto: Endpoint,
    provisioned: Callable[[KeyUri, str], KeyDescription],
    code: str,
    cause: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = provisioned(SIGNING, "P-256")
    refuse_signing(monkeypatch, code)

    with pytest.raises(SigningFailedError) as failed:
        sign_checked(signer(moto, made.public_key_pem), b"data")

    assert isinstance(failed.value.__cause__, cause)


def refuse_signing(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have moto's Sign answer as KMS does for the state that its key is in: moto signs in every state."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise JsonRESTError(code, "no")

    monkeypatch.setattr(KmsBackend, "sign", refuse)


def test_what_one_hand_seals_the_other_opens(
    moto: Endpoint, provisioned: Callable[[KeyUri, str], KeyDescription]
) -> None:
    provisioned(SEALING, "AES-256")
    ours: Sealer = sealer(moto)
    items = [(b"seed one", b"alice"), (b"seed two", b"bob")]

    for sealed, (secret, context) in zip(ours.seal_many(items), items, strict=True):
        assert manager(moto).open(SEALING, sealed, context=context) == secret
    for sealed, (secret, context) in zip(manager(moto).seal_many(SEALING, items), items, strict=True):
        assert ours.open(sealed, context=context) == secret


def test_what_was_sealed_opens_under_its_own_context_and_by_its_own_key_only(
    moto: Endpoint, provisioned: Callable[[KeyUri, str], KeyDescription]
) -> None:
    provisioned(SEALING, "AES-256")
    provisioned(KeyUri("awskms", REGION, "other"), "AES-256")
    (sealed,) = sealer(moto).seal_many([(b"seed", b"alice")])

    with pytest.raises(AwsRefusedError):
        sealer(moto).open(sealed, context=b"bob")
    with pytest.raises(AwsRefusedError):
        sealer(moto, KeyUri("awskms", REGION, "other")).open(sealed, context=b"alice")


@pytest.mark.parametrize("text", ["", "not base64url!", "AA=="])
def test_what_nobody_sealed_is_refused_before_it_is_sent(moto: Endpoint, text: str) -> None:
    with pytest.raises((StrictFormError, AwsRefusedError)):
        sealer(moto).open(text, context=b"")


def test_nobody_reads_a_name_in_the_encryption_context(
    moto: Endpoint, provisioned: Callable[[KeyUri, str], KeyDescription], monkeypatch: pytest.MonkeyPatch
) -> None:
    provisioned(SEALING, "AES-256")
    sent: list[str] = []
    real = AwsClient.call

    def call(self: AwsClient, target: str, members: Mapping[str, Any], *, json_version: str) -> dict[str, Any]:
        sent.append(json.dumps(members))
        return real(self, target, members, json_version=json_version)

    monkeypatch.setattr(AwsClient, "call", call)

    sealer(moto).seal_many([(b"seed", b"alice@example.com")])

    assert "alice" not in "".join(sent)
    assert "EncryptionContext" in "".join(sent)


@pytest.mark.parametrize(
    "uri",
    ["awskms:region=eu-central-1", "awskms:alias=a;region=eu-central-1", "awskms:region=r;alias=alias/aws/s3", "x"],
)
def test_a_uri_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_uri(uri)


def test_a_signer_needs_a_public_p256_key(moto: Endpoint) -> None:
    jwk, client = UnsafeTestKey("test").public_jwk, aws_client("kms", moto)
    for bad in ({}, jwk | {"d": "AA"}, {"kty": "OKP", "crv": "Ed25519", "x": jws.encode_base64url(b"\x01" * 32)}):
        with pytest.raises(ConfigurationError, match="P-256"):
            KmsSigner(client=client, key_uri=str(SIGNING), public_jwk=bad, generation=1, state="active")


@pytest.mark.parametrize("code", ["DisabledException", "KMSInvalidStateException", "ThrottlingException"])
def test_while_kms_does_not_sign_a_step_up_grants_nothing_and_no_other_key_steps_in(
    moto: Endpoint, provisioned: Callable[[KeyUri, str], KeyDescription], code: str, tmp_path: Path
) -> None:
    world = World(tmp_path, signer=signer(moto, provisioned(SIGNING, "P-256").public_key_pem))
    totp = world.enrol_totp()
    challenge_id = world.challenge_id()
    FAULTS.append(Fault("Sign", {"__type": code}))

    refused = world.respond_code(challenge_id, totp.code(world.clock.now()))

    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert "assertion" not in refused.body
    assert world.last_reason("assertion.issued") == "signer"
    FAULTS.clear()
    world.clock.advance(30)
    assert world.spend(world.step_up(totp)).status == 200
    world.close()
