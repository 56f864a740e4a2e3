"""A whole deployment in AWS: keys, store, verifier, audit trail, alarms, and the policy that they enforce."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from keyrung_infra.components import key_policy
from keyrung_infra.components.account import Account, current_account
from keyrung_infra.components.audit_trail import AuditTrail, AuditTrailArgs
from keyrung_infra.components.deployment_document import Client, deployment_document
from keyrung_infra.components.encryption_key import encryption_key
from keyrung_infra.components.function import FunctionArgs, execution_role
from keyrung_infra.components.kms_key_vault import KeyUsers, KmsKeyVault, KmsKeyVaultArgs
from keyrung_infra.components.policy_document import Statement, policy_document
from keyrung_infra.components.private_bucket import PrivateBucket, PrivateBucketArgs, receiving_access_logs
from keyrung_infra.components.published_config import PublishedConfig, PublishedConfigArgs
from keyrung_infra.components.step_up_args import StepUpArgs
from keyrung_infra.components.step_up_store import StepUpStore, StepUpStoreArgs
from keyrung_infra.components.verifier_api import VerifierApi, VerifierApiArgs
from keyrung_infra.components.verifier_function import VerifierFunction, VerifierFunctionArgs
from keyrung_infra.components.watch import Watch, WatchArgs
from keyrung_infra.resources import PolicySet, keyrung_provider
from keyrung_provisioners.api import Purpose
from keyrung_verifier.store.dynamodb_table import OPERATOR_ACTIONS

VERIFIER_HANDLER, ARCHIVER_HANDLER = "keyrung_verifier.handler.http", "keyrung_verifier.handler.archive"
CONFIG_VARIABLE = "KEYRUNG_CONFIG"


class StepUp(pulumi.ComponentResource):
    """Step-up authentication for the applications of an account.

    Attributes:
        url: Of the verifier.
        keys: Of each purpose the URI of the newest generation.
        policy_version: Of the deployed policy.
        caller_policy: An IAM policy document (JSON) for the roles of applications.
        operator_policy: An IAM policy document (JSON) for the roles of operators.
        config: The deployment document, as `KEYRUNG_CONFIG` names it to operators' commands.
        store: The verifier's table.
        inventory: The inventory of keys, as operators' commands take it.
        audit_bucket: Name of the audit log's archive.
        alarm_topic: ARN of the topic that alarms are published to.
    """

    url: pulumi.Output[str]
    keys: pulumi.Output[Mapping[str, str]]
    policy_version: pulumi.Output[int]
    caller_policy: pulumi.Output[str]
    config: pulumi.Output[str]
    operator_policy: pulumi.Output[str]
    store: pulumi.Output[str]
    inventory: pulumi.Output[str]
    audit_bucket: pulumi.Output[str]
    alarm_topic: pulumi.Output[str]

    def __init__(self, name: str, args: StepUpArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the deployment."""
        super().__init__("keyrung:index:StepUp", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account = current_account(pulumi.InvokeOptions(parent=self))
        deployer = args.deployer_arn or account.caller_arn
        verifier_role = execution_role(f"{name}-verifier", opts=child)
        archiver_role = execution_role(f"{name}-archiver", opts=child)
        logs_key = encryption_key(
            f"{name}-logs",
            account,
            [key_policy.for_logs(account), key_policy.for_alarms(account)],
            description="Keyrung: encrypts logs and alarms",
            opts=child,
        )
        access_logs = PrivateBucket(
            f"{name}-access-logs",
            PrivateBucketArgs(expire_days=args.log_retention_days, protect=args.protect),
            statements=lambda arn: [receiving_access_logs(arn, account)],
            opts=child,
        )
        store = StepUpStore(name, StepUpStoreArgs(account=account, protect=args.protect), opts=child)
        self.store = pulumi.Output.format("{0};shards={1}", _table_uri(store.table, account), args.audit_shards)
        self.inventory = _table_uri(store.inventory, account)
        stateful = pulumi.ResourceOptions(parent=self, provider=keyrung_provider(name, self.inventory, opts=child))
        vault = KmsKeyVault(name, _vault(args, account, verifier_role.arn, archiver_role.arn, deployer), opts=stateful)
        config = PublishedConfig(
            f"{name}-config",
            PublishedConfigArgs(deployer_arn=deployer, log_bucket=access_logs.log_target, protect=args.protect),
            opts=child,
        )
        verifier = VerifierFunction(
            f"{name}-verifier",
            VerifierFunctionArgs(
                function=FunctionArgs(
                    handler=VERIFIER_HANDLER,
                    role=verifier_role,
                    statements=[config.reading()],
                    reserved_concurrency=args.reserved_concurrency,
                    **_common(args, config, logs_key),
                ),
                table_arn=store.table.arn,
                store_key_arn=store.key.arn,
                assertion_key_arns=vault.arns[Purpose.ASSERTION_SIGNING],
                seed_key_arns=vault.arns[Purpose.CREDENTIAL_SEED],
                provisioned_concurrency=args.provisioned_concurrency,
            ),
            opts=child,
        )
        trail = AuditTrail(
            name,
            AuditTrailArgs(
                account=account,
                table=store.table,
                store_key_arn=store.key.arn,
                audit_key_arns=vault.arns[Purpose.AUDIT_SIGNING],
                archiver=FunctionArgs(
                    handler=ARCHIVER_HANDLER,
                    role=archiver_role,
                    statements=[config.reading()],
                    **_common(args, config, logs_key),
                ),
                log_bucket=access_logs.log_target,
                lock_mode=args.audit_lock_mode,
                retention_days=args.audit_retention_days,
                protect=args.protect,
            ),
            opts=child,
        )
        api = VerifierApi(
            f"{name}-verifier",
            VerifierApiArgs(
                account=account,
                verifier=verifier,
                logs_key_arn=logs_key.arn,
                front=args.front,
                requests_per_second=args.requests_per_second,
                burst_requests=args.burst_requests,
                log_retention_days=args.log_retention_days,
            ),
            opts=child,
        )
        self.url = pulumi.Output.from_input(args.issuer) if args.issuer is not None else api.url
        policy = PolicySet(
            f"{name}-policies",
            policy=args.policy,
            signing_key=vault.keys[Purpose.POLICY_SIGNING],
            lifetime_days=args.bundle_lifetime_days,
            allow_weaker=args.allow_weaker_policies,
            opts=stateful,
        )
        config.publish(
            document=deployment_document(
                issuer=self.url,
                store=self.store,
                bundle=config.policy_uri,
                archive=trail.bucket.name,
                keys=vault.keys,
                clients=args.clients or [Client(client_id="deployer", audience=self.url, principal_arn=deployer)],
            ),
            policy=policy.bundle,
        )
        watch = Watch(
            name,
            WatchArgs(
                account=account,
                topic_key_arn=logs_key.arn,
                verifier=verifier.function.name,
                archiver=trail.archiver.function.name,
                table=store.table.name,
                dead_letters=trail.dead_letters.name,
                api_id=api.api_id,
                emails=args.alarm_emails,
            ),
            opts=child,
        )
        self.keys = pulumi.Output.all(**{purpose.value: key.uri for purpose, key in vault.keys.items()})
        self.policy_version, self.caller_policy = policy.version, api.caller_policy
        self.operator_policy = policy_document(
            [config.reading(), *_operating(store, vault.arns[Purpose.CREDENTIAL_SEED])]
        )
        self.config = config.uri
        self.audit_bucket, self.alarm_topic = trail.bucket.name, watch.topic.arn
        self.register_outputs({"url": self.url, "policy_version": self.policy_version})


def _operating(store: StepUpStore, seed_key_arns: Sequence[pulumi.Input[str]]) -> list[Statement]:
    """Return what adding and revoking people's credentials takes."""
    return [
        Statement(sid="SealSeeds", actions=("kms:Encrypt",), resources=seed_key_arns),
        Statement(sid="KeepCredentials", actions=sorted(OPERATOR_ACTIONS), resources=(store.table.arn,)),
        Statement(sid="DecryptTheStore", actions=("kms:Decrypt",), resources=(store.key.arn,)),
    ]


def _table_uri(table: aws.dynamodb.Table, account: Account) -> pulumi.Output[str]:
    return pulumi.Output.format("dynamodb:table={0};region={1}", table.name, account.region)


def _common(args: StepUpArgs, config: PublishedConfig, logs_key: aws.kms.Key) -> dict[str, Any]:
    """Return what both functions have alike: they are one package and read one configuration."""
    return {
        "package": args.package,
        "environment": {CONFIG_VARIABLE: config.uri},
        "logs_key_arn": logs_key.arn,
        "architecture": args.architecture,
        "memory_mb": args.memory_mb,
        "log_retention_days": args.log_retention_days,
    }


def _vault(
    args: StepUpArgs,
    account: Account,
    verifier_arn: pulumi.Input[str],
    archiver_arn: pulumi.Input[str],
    deployer_arn: pulumi.Input[str],
) -> KmsKeyVaultArgs:
    """Return the four keys and who uses each: no role has two of them to sign with."""
    operators = args.operator_arns or [deployer_arn]
    return KmsKeyVaultArgs(
        account=account,
        users={
            Purpose.ASSERTION_SIGNING: KeyUsers(signers=[verifier_arn]),
            Purpose.POLICY_SIGNING: KeyUsers(signers=[deployer_arn]),
            Purpose.AUDIT_SIGNING: KeyUsers(signers=[archiver_arn]),
            Purpose.CREDENTIAL_SEED: KeyUsers(sealers=operators, openers=[verifier_arn]),
        },
        prefix=f"{pulumi.get_project()}-{pulumi.get_stack()}",
        generation=args.key_generation,
        oldest_signing_generation=args.oldest_signing_generation,
        oldest_sealing_generation=args.oldest_sealing_generation,
        publish_seconds=args.key_publish_seconds,
        overlap_seconds=args.key_overlap_seconds,
        cryptoperiod_days=args.cryptoperiod_days,
        multi_region=args.multi_region_keys,
        imported=args.imported_keys,
        deletion_window_days=args.key_deletion_days,
        protect=args.protect,
    )
