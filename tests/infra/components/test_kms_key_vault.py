"""The vault in KMS: one key for each purpose and generation, used by whom its policy names and by nobody else."""

from collections.abc import Mapping
from typing import Any

import pytest
from support.pulumi_mocks import ACCOUNT, REGION, Deployment, deploy, statements

from keyrung_infra.components.account import current_account
from keyrung_infra.components.kms_key_vault import KeyUsers, KmsKeyVault, KmsKeyVaultArgs
from keyrung_infra.errors import InfraError
from keyrung_provisioners.api import Purpose

_SIGNER, _SEALER, _OPENER = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("signer", "sealer", "opener"))
_USERS = {
    Purpose.ASSERTION_SIGNING: KeyUsers(signers=[_SIGNER]),
    Purpose.CREDENTIAL_SEED: KeyUsers(sealers=[_SEALER], openers=[_OPENER]),
    Purpose.KEK: KeyUsers(sealers=[_SEALER], openers=[_SEALER]),
}
_KEY, _EXTERNAL, _ALIAS = "aws:kms/key:Key", "aws:kms/externalKey:ExternalKey", "aws:kms/alias:Alias"


def _deploy(**options: Any) -> Deployment:
    def program() -> Mapping[str, Any]:
        args = KmsKeyVaultArgs(account=current_account(), users=_USERS, prefix="stepup-aws", **options)
        vault = KmsKeyVault("vault", args)
        return {purpose.value: key.uri for purpose, key in vault.keys.items()}

    return deploy(program)


def _policy(deployment: Deployment, name: str) -> dict[str, dict[str, Any]]:
    return {each["Sid"]: each for each in statements(deployment.one(_KEY, name).inputs["policy"])}


def test_each_purpose_gets_a_key_of_its_kind() -> None:
    made = {each.name: each.inputs for each in _deploy().of(_KEY)}

    assert {name: (key["customerMasterKeySpec"], key["keyUsage"]) for name, key in made.items()} == {
        "vault-assertion-signing-g1": ("ECC_NIST_P256", "SIGN_VERIFY"),
        "vault-credential-seed-g1": ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        "vault-kek-g1": ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
    }
    assert all(key["deletionWindowInDays"] == 30 and key["multiRegion"] is False for key in made.values())


def test_the_line_of_generations_reads_back_the_newest_key_and_waits_for_its_alias() -> None:
    deployment = _deploy(generation=2)

    line = deployment.one("keyrung:index:Key", "vault-assertion-signing")
    assert line.inputs["source"] == deployment.one(_KEY, "vault-assertion-signing-g2").inputs.get(
        "arn", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/vault-assertion-signing-g2"
    )
    assert (line.inputs["vault"], line.inputs["name"]) == (f"awskms:region={REGION}", "stepup-aws-assertion-signing")
    assert line.inputs["generation"] == 2
    assert deployment.one(_ALIAS, "vault-assertion-signing-g2").urn in line.depends_on


def test_a_raised_generation_makes_the_next_key_beside_the_old_one() -> None:
    deployment = _deploy(generation=2)

    aliases = {each.inputs["name"]: each.inputs["targetKeyId"] for each in deployment.of(_ALIAS)}
    assert aliases["alias/stepup-aws-assertion-signing"] == "vault-assertion-signing-g1-id"
    assert aliases["alias/stepup-aws-assertion-signing-g2"] == "vault-assertion-signing-g2-id"
    assert len(deployment.of(_KEY)) == 6


def test_old_signing_keys_can_go_and_every_sealing_key_stays() -> None:
    names = [each.name for each in _deploy(generation=3, oldest_signing_generation=3).of(_KEY)]

    assert [name for name in names if "assertion" in name] == ["vault-assertion-signing-g3"]
    assert [name for name in names if "seed" in name] == [f"vault-credential-seed-g{number}" for number in (1, 2, 3)]


def test_sealing_keys_go_only_by_their_own_setting() -> None:
    names = [each.name for each in _deploy(generation=2, oldest_sealing_generation=2).of(_KEY)]

    assert "vault-credential-seed-g1" not in names
    assert "vault-assertion-signing-g1" in names


def test_only_the_named_roles_use_a_key_and_the_account_only_administers_it() -> None:
    deployment = _deploy()

    signing = _policy(deployment, "vault-assertion-signing-g1")
    assert set(signing) == {"Administration", "Sign"}
    assert signing["Sign"]["Action"] == ["kms:Sign"]
    assert signing["Sign"]["Principal"] == {"AWS": [_SIGNER]}
    assert signing["Sign"]["Condition"] == {"StringEquals": {"kms:SigningAlgorithm": "ECDSA_SHA_256"}}

    sealing = _policy(deployment, "vault-credential-seed-g1")
    assert (sealing["Open"]["Action"], sealing["Open"]["Principal"]) == (["kms:Decrypt"], {"AWS": [_OPENER]})
    assert sealing["Seal"]["Principal"] == {"AWS": [_SEALER]}
    assert "kms:Decrypt" not in sealing["Seal"]["Action"]
    assert sealing["Open"]["Condition"] == {"Null": {"kms:EncryptionContext:keyrung": "false"}}


def test_the_account_cannot_be_locked_out_and_its_statement_uses_no_key() -> None:
    for document in _deploy().documents(_KEY).values():
        administration = next(each for each in document if each["Sid"] == "Administration")
        assert administration["Principal"] == {"AWS": [f"arn:aws:iam::{ACCOUNT}:root"]}
        assert "kms:PutKeyPolicy" in administration["Action"]
        using = {"Sign", "Decrypt", "Encrypt", "GenerateDataKey", "CreateGrant", "ReEncryptFrom", "ReEncryptTo"}
        assert not using & {action.removeprefix("kms:") for action in administration["Action"]}


def test_replicas_in_other_regions_are_an_option() -> None:
    deployment = _deploy(multi_region=True)

    assert all(each.inputs["multiRegion"] for each in deployment.of(_KEY))
    assert "kms:ReplicateKey" in _policy(deployment, "vault-kek-g1")["Administration"]["Action"]
    assert "kms:ReplicateKey" not in _policy(_deploy(), "vault-kek-g1")["Administration"]["Action"]


def test_imported_material_never_passes_through_the_program() -> None:
    deployment = _deploy(imported=frozenset({Purpose.ASSERTION_SIGNING}))

    key = deployment.one(_EXTERNAL)
    assert (key.name, key.inputs["keySpec"]) == ("vault-assertion-signing-g1", "ECC_NIST_P256")
    assert "keyMaterialBase64" not in key.inputs
    administration = statements(key.inputs["policy"])[0]
    assert {"kms:GetParametersForImport", "kms:ImportKeyMaterial"} <= set(administration["Action"])
    assert deployment.one("keyrung:index:Key", "vault-assertion-signing").inputs["source"].endswith(key.name)


@pytest.mark.parametrize("protect", [True, False])
def test_protection_covers_keys_aliases_and_lines(protect: bool) -> None:
    deployment = _deploy(protect=protect)

    guarded = [*deployment.of(_KEY), *deployment.of(_ALIAS), *deployment.of("keyrung:index:Key")]
    assert {each.protect for each in guarded} == {protect}
    assert {each.inputs["deletionProtection"] for each in deployment.of("keyrung:index:Key")} == {protect}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"deletion_window_days": 6}, "deletion_window_days is 6: KMS waits 7 to 30 days"),
        ({"deletion_window_days": 31}, "deletion_window_days is 31"),
        ({"generation": 1, "oldest_signing_generation": 2}, "oldest_signing_generation is 2: choose one of 1 to 1"),
        ({"generation": 3, "oldest_sealing_generation": 0}, "oldest_sealing_generation is 0"),
    ],
)
def test_what_kms_cannot_do_is_refused_with_its_name(options: dict[str, int], told: str) -> None:
    with pytest.raises(InfraError, match=told):
        _deploy(**options)
