"""The tables of a stack in DynamoDB: what the verifier remembers, and the inventory of keys."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from keyrung_infra.components.account import Account
from keyrung_infra.components.encryption_key import encryption_key
from keyrung_infra.components.key_policy import through_service
from keyrung_verifier.store.dynamodb_table import (
    BILLING_MODE,
    KEY_TYPE,
    PARTITION_KEY,
    SORT_KEY,
    STREAM_VIEW,
    TTL_ATTRIBUTE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpStoreArgs:
    """What the tables are like.

    Attributes:
        account: Where they are.
        recovery_days: For how many days back the tables can be restored to any second, 1 to 35.
        protect: Whether deleting the tables is refused, by Pulumi and by DynamoDB.
    """

    account: Account
    recovery_days: int = 35
    protect: bool = True


class StepUpStore(pulumi.ComponentResource):
    """Two tables on demand, encrypted under a key of their own.

    Attributes:
        table: What the verifier reads and writes; its stream carries the audit log to `AuditTrail`.
        inventory: The claims, states and evidence of keys, which only the deployment and operators write.
        key: Encrypts both.
    """

    def __init__(self, name: str, args: StepUpStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the tables."""
        super().__init__("keyrung:index:StepUpStore", name, None, opts)
        self._args = args
        self._opts = pulumi.ResourceOptions(parent=self, protect=args.protect)
        self.key = encryption_key(
            f"{name}-store",
            args.account,
            [through_service(args.account, "dynamodb")],
            description="Keyrung: encrypts the tables",
            opts=self._opts,
        )
        self.table = self._table(
            f"{name}-store",
            ttl={"attribute_name": TTL_ATTRIBUTE, "enabled": True},
            stream_enabled=True,
            stream_view_type=STREAM_VIEW,
        )
        self.inventory = self._table(f"{name}-inventory")
        self.register_outputs({"table": self.table.name, "inventory": self.inventory.name})

    def _table(self, name: str, **further: object) -> aws.dynamodb.Table:
        return aws.dynamodb.Table(
            name,
            billing_mode=BILLING_MODE,
            hash_key=PARTITION_KEY,
            range_key=SORT_KEY,
            attributes=[{"name": each, "type": KEY_TYPE} for each in (PARTITION_KEY, SORT_KEY)],
            server_side_encryption={"enabled": True, "kms_key_arn": self.key.arn},
            point_in_time_recovery={"enabled": True, "recovery_period_in_days": self._args.recovery_days},
            deletion_protection_enabled=self._args.protect,
            opts=self._opts,
            **further,
        )
