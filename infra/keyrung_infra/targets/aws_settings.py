"""The settings of a deployment in AWS; all of them have defaults but the region, which belongs to the AWS provider."""

from pathlib import Path

from keyrung_infra.components.audit_trail import LONGEST_DAYS, LockMode
from keyrung_infra.components.deployment_document import Client
from keyrung_infra.components.kms_key_vault import DELETION_WINDOW_DAYS
from keyrung_infra.components.step_up_args import StepUpArgs
from keyrung_infra.components.verifier_api import Front
from keyrung_infra.packaging.bundle import Architecture
from keyrung_infra.project import find_root
from keyrung_infra.settings import StackConfig
from keyrung_provisioners.api import Purpose
from keyrung_verifier.store.dynamodb_table import AUDIT_SHARDS, MAX_AUDIT_SHARDS

_ROLE = "arn:aws:iam::123456789012:role/payments"
_CLIENT = f'[{{client_id: payments, audience: "https://payments.example.com", principal_arn: "{_ROLE}"}}]'
# What Lambda takes (its quotas), and what CloudWatch keeps a log for (PutRetentionPolicy).
_MEMORY_MB = (128, 10_240)
_RETENTION_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
_MADE_HERE = frozenset(
    {Purpose.ASSERTION_SIGNING, Purpose.POLICY_SIGNING, Purpose.AUDIT_SIGNING, Purpose.CREDENTIAL_SEED}
)


def step_up_args(policy: str) -> StepUpArgs:
    """Return the deployment that the selected stack declares, to enforce ``policy`` (canonical JSON)."""
    config = StackConfig()
    generation = config.number("keyGeneration", least=1, example=1)
    architecture = config.choice("architecture", Architecture)
    shortest, longest = DELETION_WINDOW_DAYS
    least_memory, most_memory = _MEMORY_MB
    return StepUpArgs(
        policy=policy,
        package=_package(config, architecture),
        clients=[Client(**found) for found in config.records("clients", _CLIENT_MEMBERS, example=_CLIENT)],
        issuer=config.optional_text("issuer"),
        deployer_arn=config.optional_text("deployer"),
        operator_arns=config.texts("operators", example=f'["{_ROLE}"]'),
        key_generation=generation,
        key_publish_seconds=config.number("keyPublishSeconds", least=0, example=600),
        key_overlap_seconds=config.number("keyOverlapSeconds", least=0, example=86400),
        cryptoperiod_days=config.number("cryptoperiodDays", least=1, example=365),
        oldest_signing_generation=config.number("oldestSigningGeneration", least=1, most=generation, example=1),
        oldest_sealing_generation=config.number("oldestSealingGeneration", least=1, most=generation, example=1),
        key_deletion_days=config.number("keyDeletionDays", least=shortest, most=longest, example=longest),
        multi_region_keys=config.flag("multiRegionKeys"),
        imported_keys=_imported(config),
        bundle_lifetime_days=config.number("bundleLifetimeDays", least=1, example=90),
        allow_weaker_policies=config.flag("allowWeakerPolicies"),
        architecture=architecture,
        memory_mb=config.number("memoryMb", least=least_memory, most=most_memory, example=512),
        reserved_concurrency=config.number("reservedConcurrency", least=0, example=100) or None,
        provisioned_concurrency=config.number("provisionedConcurrency", least=0, example=2) or None,
        front=config.choice("front", Front),
        requests_per_second=config.number("requestsPerSecond", least=1, example=100),
        burst_requests=config.number("burstRequests", least=1, example=200),
        log_retention_days=_retention(config),
        audit_shards=config.number("auditShards", least=1, most=MAX_AUDIT_SHARDS, example=AUDIT_SHARDS),
        audit_lock_mode=config.choice("auditLockMode", LockMode),
        audit_retention_days=config.number("auditRetentionDays", least=1, most=LONGEST_DAYS, example=365),
        alarm_emails=config.texts("alarmEmails", example='["security@example.com"]'),
        protect=config.flag("protectKeys"),
    )


_CLIENT_MEMBERS = frozenset({"client_id", "audience", "principal_arn"})


def _package(config: StackConfig, architecture: Architecture) -> Path:
    name = config.optional_text("package") or f"dist/verifier-{architecture}.zip"
    path = find_root() / name  # the engine runs a program in its own folder
    if not path.is_file():
        build = f"`keyrung bundle build --architecture {architecture} --out {name}`"
        config.refuse("package", f"names {name}, which is not there; {build} makes it", example=name)
    return path


def _imported(config: StackConfig) -> frozenset[Purpose]:
    found = config.texts("importedKeys", example="[policy-signing]")
    unknown = set(found) - set(_MADE_HERE)
    if unknown:
        config.refuse(
            "importedKeys",
            f"may name {', '.join(sorted(_MADE_HERE))}, not {', '.join(sorted(unknown))}",
            example="[policy-signing]",
        )
    return frozenset(Purpose(name) for name in found)


def _retention(config: StackConfig) -> int:
    days = config.number("logRetentionDays", least=1, example=90)
    if days not in _RETENTION_DAYS:
        offered = ", ".join(map(str, _RETENTION_DAYS))
        config.refuse("logRetentionDays", f"must be a period that CloudWatch offers ({offered})", example="90")
    return days
