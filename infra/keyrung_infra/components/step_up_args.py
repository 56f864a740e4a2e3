"""What a whole deployment in AWS can be told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi

from keyrung_infra.components.audit_trail import LockMode
from keyrung_infra.components.deployment_document import Client
from keyrung_infra.components.kms_key_vault import DELETION_WINDOW_DAYS
from keyrung_infra.components.verifier_api import Front
from keyrung_infra.packaging.bundle import Architecture
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.generations import OVERLAP_SECONDS, PUBLISH_SECONDS
from keyrung_verifier.store.dynamodb_table import AUDIT_SHARDS


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpArgs:
    """A deployment; everything but policy and package has a default fit for production.

    Attributes:
        policy: The compiled policy (canonical JSON), as `policy_text` returns it.
        package: The zip with verifier and archiver that `keyrung bundle build` makes for `architecture`.
        clients: Applications that may ask; none: the deploying identity alone may, to try it out.
        issuer: Public https URL of the verifier, if something of yours stands before it.
        deployer_arn: The user or role that runs `pulumi up`, and nobody else signs policies and publishes them;
            None: whoever runs it now.
        operator_arns: Users or roles that add people's credentials; none: the deployer.
        key_generation: Of all keys; raise it by one to rotate.
        key_publish_seconds: From publishing a generation to its first use.
        key_overlap_seconds: For which a generation is kept after its last use.
        cryptoperiod_days: For which a generation may be used; a preview warns in the last tenth of them.
        oldest_signing_generation: Generations of signing keys below it are given to KMS for deletion.
        oldest_sealing_generation: The same for the key that seals seeds; what a deleted one sealed is lost for good.
        key_deletion_days: For which KMS keeps a key that is to be deleted, 7 to 30.
        multi_region_keys: Whether replicas of the keys may be made in other regions; settled when a key is made.
        imported_keys: Purposes of keys whose material you import into KMS.
        bundle_lifetime_days: Until a signed policy expires; it is signed again when a third of that is left.
        allow_weaker_policies: Whether a policy may replace one that asks for more.
        architecture: Of the functions' processor and of the package.
        memory_mb: Of each function; its share of the processor grows with it.
        reserved_concurrency: Calls at one time that are set aside for the verifier, and its limit; None: none are.
        provisioned_concurrency: Instances of the verifier that are kept warm; None: none are.
        front: What stands before the verifier.
        requests_per_second: Above which the HTTP API answers 429.
        burst_requests: That may come at once before that.
        log_retention_days: For which logs are kept, one of the periods that CloudWatch offers.
        audit_shards: Chains of the audit log, which take commits side by side; a store keeps the number it began with.
        audit_lock_mode: Who can shorten the retention of the audit archive.
        audit_retention_days: For which each object of the audit archive is locked.
        alarm_emails: Addresses that are told of alarms; each confirms once.
        protect: Whether deleting keys, tables and buckets is refused.
    """

    policy: pulumi.Input[str]
    package: Path
    clients: Sequence[Client] = ()
    issuer: pulumi.Input[str] | None = None
    deployer_arn: pulumi.Input[str] | None = None
    operator_arns: Sequence[pulumi.Input[str]] = ()
    key_generation: int = 1
    key_publish_seconds: int = PUBLISH_SECONDS
    key_overlap_seconds: int = OVERLAP_SECONDS
    cryptoperiod_days: int = 365
    oldest_signing_generation: int = 1
    oldest_sealing_generation: int = 1
    key_deletion_days: int = DELETION_WINDOW_DAYS[1]
    multi_region_keys: bool = False
    imported_keys: frozenset[Purpose] = field(default_factory=frozenset)
    bundle_lifetime_days: int = 90
    allow_weaker_policies: bool = False
    architecture: Architecture = Architecture.ARM64
    memory_mb: int = 512
    reserved_concurrency: int | None = None
    provisioned_concurrency: int | None = None
    front: Front = Front.HTTP_API
    requests_per_second: int = 100
    burst_requests: int = 200
    log_retention_days: int = 90
    audit_shards: int = AUDIT_SHARDS
    audit_lock_mode: LockMode = LockMode.GOVERNANCE
    audit_retention_days: int = 365
    alarm_emails: Sequence[str] = ()
    protect: bool = True
