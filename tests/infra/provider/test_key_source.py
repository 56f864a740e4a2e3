"""Keys that another resource makes in KMS: read back, recorded, given states; never made, replaced or deleted here."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.kms import REGION, kms_client, moto_kms

from keyrung_infra.errors import InfraError
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.diff import diff
from keyrung_infra.provider.key import Key
from keyrung_infra.provider.model import Values
from keyrung_infra.provider.values import UNKNOWN
from keyrung_provisioners.errors import KeyAlteredError, KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.inventory import KeyRow

_URN = "urn:pulumi:aws::stepup::keyrung:index:Key::audit-signing"
_NAME = "audit-signing-aws"


@pytest.fixture(autouse=True)
def _kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with moto_kms(monkeypatch):
        yield


class _Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


class _Stack:
    """One declared `Key`, as the engine drives it."""

    def __init__(self, root: Path) -> None:
        self.clock = _Clock()
        self.backends = Backends(root, reached=lambda _point: None, now=self.clock.now)
        self.backends.configure({"inventory": "inventory.db"})
        self.key = Key(self.backends)
        self.state: Values = {}

    def up(self, **changed: Any) -> Values:
        """Deploy the key, or what changed of it, and return its outputs."""
        inputs = _inputs(**changed)
        assert self.key.check(inputs) == []
        if not self.state:
            _, outputs = self.key.create(_URN, inputs)
        else:
            diff(self.key, self.state, inputs, [])
            outputs = self.key.update(_URN, self.state, inputs)
        self.state = {**inputs, **outputs}
        return outputs

    def rows(self) -> list[KeyRow]:
        return list(self.backends.inventory().line(_URN))

    def events(self) -> list[str]:
        return [event.event for _, event in self.backends.inventory().events()]


@pytest.fixture
def stack(tmp_path: Path) -> _Stack:
    return _Stack(tmp_path)


def _inputs(**changed: Any) -> dict[str, Any]:
    return {
        "vault": f"awskms:region={REGION}",
        "name": _NAME,
        "algorithm": "P-256",
        "purpose": "audit-signing",
        "generation": 1,
        "publishSeconds": 600,
        "overlapSeconds": 3600,
        "deletionProtection": False,
    } | changed


def _make(alias: str = _NAME, **changed: Any) -> str:
    """Make a key with an alias as `aws.kms.Key` and `aws.kms.Alias` do, and return its ARN."""
    parameters: dict[str, Any] = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "MultiRegion": False} | changed
    made = kms_client().create_key(**parameters)["KeyMetadata"]
    kms_client().create_alias(AliasName=f"alias/{alias}", TargetKeyId=made["KeyId"])
    return str(made["Arn"])


def _living() -> set[str]:
    keys = [entry["KeyArn"] for entry in kms_client().list_keys()["Keys"]]
    return {arn for arn in keys if kms_client().describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled"}


@pytest.mark.parametrize("changed", [{}, {"MultiRegion": True}], ids=["one region", "several regions"])
def test_the_key_of_another_resource_is_recorded_with_evidence_and_is_active(
    stack: _Stack, changed: dict[str, Any]
) -> None:
    arn = _make(**changed)
    outputs = stack.up(source=arn)
    assert outputs["uri"] == f"awskms:region={REGION};alias={_NAME}"
    assert outputs["state"] == "active"
    evidence = outputs["evidence"]
    assert isinstance(evidence, dict)
    assert (evidence["Arn"], evidence["Origin"], evidence["MultiRegion"]) == (arn, "AWS_KMS", bool(changed))
    (row,) = stack.rows()
    (statement,) = stack.backends.inventory().statements(row)
    assert b'"how":"imported"' in statement.statement
    assert stack.events() == ["key.claimed", "key.adopted", "key.activated"]
    assert stack.up(source=arn) == outputs
    assert stack.key.read(_URN, str(outputs["uri"]), stack.state) == outputs
    assert _living() == {arn}


def test_a_lost_state_finds_the_same_key_again(stack: _Stack) -> None:
    arn = _make()
    first = stack.up(source=arn)
    stack.state = {}
    again = stack.up(source=arn)
    assert {**again, "holder": None} == {**first, "holder": None}


def test_an_import_keeps_the_key_another_ones(stack: _Stack) -> None:
    arn = _make()
    taken = stack.key.adopt(_URN, f"audit-signing@awskms:region={REGION};alias={_NAME}@{arn}")
    assert taken.inputs["source"] == arn
    stack.key.delete(_URN, {**taken.inputs, **taken.outputs, "deletionProtection": False})
    assert _living() == {arn}


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"KeySpec": "ECC_NIST_P384"}, "KeySpec"),
        ({"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"}, "KeyUsage, KeySpec"),
    ],
)
def test_a_key_that_is_not_as_declared_is_refused_and_leaves_no_claim(
    stack: _Stack, made: dict[str, str], reason: str
) -> None:
    arn = _make(**made)
    with pytest.raises(KeyRefusedError, match=f"is not {arn} as declared, in {reason}"):
        stack.up(source=arn)
    assert stack.backends.inventory().rows() == []


def test_an_alias_that_stands_for_another_key_than_the_source_is_refused(stack: _Stack) -> None:
    _make()
    other = _make("elsewhere")
    with pytest.raises(KeyRefusedError, match=f"is not {other} as declared, in Arn"):
        stack.up(source=other)
    with pytest.raises(KeyMissingError):
        stack.up(source=other, name="nothing-there")
    assert stack.backends.inventory().rows() == []


def test_one_key_gets_no_second_owner_by_a_second_alias(stack: _Stack) -> None:
    arn = _make()
    stack.up(source=arn)
    kms_client().create_alias(AliasName="alias/second", TargetKeyId=arn)
    with pytest.raises(KeyConflictError, match=f"is the key that belongs to {_URN}"):
        stack.key.create("urn:other", _inputs(source=arn, name="second"))


@pytest.mark.parametrize("protected", [True, False])
def test_a_replaced_key_is_refused_in_the_preview_and_by_the_refresh_that_names_both_thumbprints(
    stack: _Stack, protected: bool
) -> None:
    first = stack.up(source=_make(), deletionProtection=protected)
    kms_client().delete_alias(AliasName=f"alias/{_NAME}")
    other = _make()
    for new in (other, UNKNOWN, None):
        with pytest.raises(InfraError, match=rf"thumbprint {first['thumbprint']}\) is arn:.* would take its place"):
            diff(stack.key, stack.state, _inputs(source=new, deletionProtection=protected), [])
    with pytest.raises(
        KeyAlteredError, match=rf"thumbprint {first['thumbprint']}, .* holds another key, \S+"
    ) as caught:
        stack.key.read(_URN, str(first["uri"]), stack.state)
    assert caught.value.fields["found"] != first["thumbprint"]
    stack.state = {}
    with pytest.raises(KeyAlteredError):  # nor when the state is lost, too
        stack.up(source=other)
    assert [row.fingerprint for row in stack.rows()] == [first["thumbprint"]]


def test_a_key_that_is_gone_or_disabled_fails_the_refresh(stack: _Stack) -> None:
    arn = _make()
    outputs = stack.up(source=arn)
    kms_client().disable_key(KeyId=arn.rpartition("/")[2])
    with pytest.raises(KeyRefusedError, match="is not enabled in KMS"):
        stack.key.read(_URN, str(outputs["uri"]), stack.state)
    kms_client().schedule_key_deletion(KeyId=arn.rpartition("/")[2])
    with pytest.raises(KeyMissingError, match=f"recorded with thumbprint {outputs['thumbprint']}"):
        stack.key.read(_URN, str(outputs["uri"]), stack.state)


def test_generations_have_keys_of_their_own_and_the_old_one_is_released_not_deleted(stack: _Stack) -> None:
    first = _make()
    stack.up(source=first)
    with pytest.raises(InfraError, match=r"generation 2 of .* would be the same key"):
        diff(stack.key, stack.state, _inputs(source=first, generation=2), [])
    second = _make(f"{_NAME}-g2")
    rotated = stack.up(source=second, generation=2)
    assert rotated["uri"] == f"awskms:region={REGION};alias={_NAME}-g2"
    for _ in ("deactivate", "release"):
        stack.clock.moment += timedelta(hours=2)
        stack.up(source=second, generation=2)
    assert [str(row.state) for row in stack.rows()] == ["destroyed", "active"]
    assert stack.events()[-2:] == ["key.deactivated", "key.released"]
    assert _living() == {first, second}
    kms_client().schedule_key_deletion(KeyId=first.rpartition("/")[2])  # its resource leaves the program
    assert stack.key.read(_URN, str(rotated["uri"]), stack.state) == {
        **rotated,
        **stack.key.read(_URN, "", stack.state),
    }


def test_a_key_made_here_is_followed_by_one_that_is_made_elsewhere(stack: _Stack) -> None:
    stack.up()
    second = _make(f"{_NAME}-g2")
    stack.up(source=second, generation=2)
    for _ in ("deactivate", "destroy"):
        stack.clock.moment += timedelta(hours=2)
        stack.up(source=second, generation=2)
    assert stack.events()[-1] == "key.destroyed"
    assert _living() == {second}


def test_deleting_leaves_the_key_to_its_resource_and_ends_its_row(stack: _Stack) -> None:
    arn = _make()
    stack.up(source=arn, deletionProtection=True)
    with pytest.raises(InfraError, match="is protected"):
        stack.key.delete(_URN, stack.state)
    stack.up(source=arn)
    stack.key.delete(_URN, stack.state)
    assert _living() == {arn}
    assert [str(row.state) for row in stack.rows()] == ["destroyed"]
    assert stack.events()[-1] == "key.released"
    stack.state = {}
    with pytest.raises(KeyRefusedError, match="was destroyed and cannot come back"):
        stack.up(source=arn)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"source": "arn:aws:kms:eu-central-1:123456789012:alias/a"}, "give the ARN of the key itself"),
        ({"source": "1234abcd"}, "give the ARN of the key itself"),
        ({"source": "arn:aws:kms:eu-west-1:123456789012:key/a"}, "is not in the region of awskms"),
        ({"vault": "transit:mount=m"}, "source names a KMS key"),
        ({"vault": "transit:mount=m", "source": UNKNOWN}, "source names a KMS key"),
        ({"copyTo": "awskms:region=eu-central-1;alias=b"}, "has no copyTo of ours"),
    ],
)
def test_a_source_that_cannot_be_one_is_refused(stack: _Stack, changed: dict[str, Any], reason: str) -> None:
    arn = f"arn:aws:kms:{REGION}:123456789012:key/{secrets.token_hex(8)}"
    failures = stack.key.check(_inputs(**{"source": arn} | changed))
    assert reason in " ".join(failure.reason for failure in failures)
