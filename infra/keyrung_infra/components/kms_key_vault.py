"""The keys of a stack in AWS KMS: `aws.kms.Key` makes each generation, `keyrung.Key` owns its line."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from keyrung_infra.components import key_policy
from keyrung_infra.components.account import Account
from keyrung_infra.components.policy_document import Statement, policy_document
from keyrung_infra.errors import InfraError
from keyrung_infra.resources import Key
from keyrung_provisioners.algorithms import algorithm
from keyrung_provisioners.api import Purpose
from keyrung_provisioners.generations import OVERLAP_SECONDS, PUBLISH_SECONDS
from keyrung_provisioners.uri import KeyUri

SEALING = frozenset({Purpose.CREDENTIAL_SEED, Purpose.KEK})
_SIGNING_ALGORITHM, _SEALING_ALGORITHM = "P-256", "AES-256"
_ANY_REGION = "eu-central-1"  # stands in where only the name of a key is asked for
DELETION_WINDOW_DAYS = (7, 30)  # the shortest and longest that ScheduleKeyDeletion takes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUsers:
    """Who may use one key, by ARN; whoever is not named may not, whatever IAM says."""

    signers: Sequence[pulumi.Input[str]] = ()
    sealers: Sequence[pulumi.Input[str]] = ()
    openers: Sequence[pulumi.Input[str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsKeyVaultArgs:
    """What a vault in KMS holds.

    Attributes:
        account: Where it is.
        users: The keys to make, one for each purpose, and who uses them.
        prefix: Begins every alias: PREFIX-PURPOSE, and PREFIX-PURPOSE-gN from the second generation on.
        generation: Of every key; raise it by one to rotate.
        oldest_signing_generation: Generations of signing keys below it are handed to KMS for deletion. Raise it when
            `keyrung key list` shows them as over.
        oldest_sealing_generation: The same for keys that seal; what a deleted one sealed is lost for good.
        publish_seconds: From publishing a generation to its first use.
        overlap_seconds: For which a generation is kept after its last use.
        cryptoperiod_days: For which a generation may be used.
        multi_region: Whether replicas of the keys may be made in other regions.
        imported: Purposes whose material comes from outside, with `ImportKeyMaterial`; KMS generates all others.
        deletion_window_days: For which KMS keeps a key that is to be deleted.
        protect: Whether deleting keys is refused.
    """

    account: Account
    users: "dict[Purpose, KeyUsers]"
    prefix: str
    generation: int = 1
    oldest_signing_generation: int = 1
    oldest_sealing_generation: int = 1
    publish_seconds: int = PUBLISH_SECONDS
    overlap_seconds: int = OVERLAP_SECONDS
    cryptoperiod_days: int = 365
    multi_region: bool = False
    imported: frozenset[Purpose] = field(default_factory=frozenset)
    deletion_window_days: int = DELETION_WINDOW_DAYS[1]
    protect: bool = True

    def __post_init__(self) -> None:
        """Raise `InfraError` for what no deployment could make."""
        shortest, longest = DELETION_WINDOW_DAYS
        if not shortest <= self.deletion_window_days <= longest:
            raise InfraError(
                f"deletion_window_days is {self.deletion_window_days}",
                fix=f"KMS waits {shortest} to {longest} days, such as {longest}",
            )
        for name in ("oldest_signing_generation", "oldest_sealing_generation"):
            if not 1 <= getattr(self, name) <= self.generation:
                raise InfraError(
                    f"{name} is {getattr(self, name)}", fix=f"choose one of 1 to {self.generation}, such as 1"
                )


class KmsKeyVault(pulumi.ComponentResource):
    """KMS keys by purpose, each with a policy of its own and an alias for each generation.

    Attributes:
        keys: Of each purpose the line of generations, with URIs and public keys.
        arns: Of each purpose the ARNs of the generations that are kept, oldest first.
    """

    keys: dict[Purpose, Key]
    arns: dict[Purpose, list[pulumi.Output[str]]]

    def __init__(self, name: str, args: KmsKeyVaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the keys."""
        super().__init__("keyrung:index:KmsKeyVault", name, None, opts)
        self._name, self._args = name, args
        self.arns, self.keys = {}, {}
        for purpose, users in args.users.items():
            self._declare(purpose, users)
        self.register_outputs({purpose.value: key.uri for purpose, key in self.keys.items()})

    def _declare(self, purpose: Purpose, users: KeyUsers) -> None:
        args = self._args
        oldest = args.oldest_sealing_generation if purpose in SEALING else args.oldest_signing_generation
        policy = policy_document(_statements(args, purpose, users))
        made = [self._generation(purpose, number, policy) for number in range(oldest, args.generation + 1)]
        self.arns[purpose] = [arn for arn, _ in made]
        self.keys[purpose] = Key(
            f"{self._name}-{purpose}",
            vault=pulumi.Output.format("awskms:region={0}", args.account.region),
            key_name=f"{args.prefix}-{purpose}",
            purpose=purpose,
            algorithm=_algorithm(purpose),
            generation=args.generation,
            publish_seconds=args.publish_seconds,
            overlap_seconds=args.overlap_seconds,
            cryptoperiod_days=args.cryptoperiod_days,
            source=made[-1][0],
            deletion_protection=args.protect,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[alias for _, alias in made]),
        )

    def _generation(
        self, purpose: Purpose, number: int, policy: pulumi.Output[str]
    ) -> tuple[pulumi.Output[str], aws.kms.Alias]:
        """Declare the KMS key of one generation and the alias that is put on it and never moved."""
        args, row = self._args, algorithm(_algorithm(purpose))
        first = KeyUri("awskms", _ANY_REGION, f"{args.prefix}-{purpose}")
        opts = pulumi.ResourceOptions(parent=self, protect=args.protect)
        common = {
            "description": f"Keyrung: {purpose}, generation {number}",
            "key_usage": "ENCRYPT_DECRYPT" if row.symmetric else "SIGN_VERIFY",
            "multi_region": args.multi_region,
            "deletion_window_in_days": args.deletion_window_days,
            "policy": policy,
            "tags": key_policy.tags(purpose, number),
        }
        label = f"{self._name}-{purpose}-g{number}"
        made = (
            aws.kms.ExternalKey(label, key_spec=row.kms, opts=opts, **common)
            if purpose in args.imported
            else aws.kms.Key(label, customer_master_key_spec=row.kms, opts=opts, **common)
        )
        alias = aws.kms.Alias(label, name=f"alias/{first.of_generation(number).name}", target_key_id=made.id, opts=opts)
        return made.arn, alias


def _algorithm(purpose: Purpose) -> str:
    return _SEALING_ALGORITHM if purpose in SEALING else _SIGNING_ALGORITHM


def _statements(args: KmsKeyVaultArgs, purpose: Purpose, users: KeyUsers) -> list[Statement]:
    further = (*(key_policy.OF_IMPORT if purpose in args.imported else ()),)
    further += key_policy.OF_REPLICAS if args.multi_region else ()
    statements = [key_policy.administration(args.account, *further)]
    row = algorithm(_algorithm(purpose))
    if users.signers:
        statements.append(key_policy.signing(users.signers, str(row.kms_signing)))
    if users.sealers:
        statements.append(key_policy.sealing(users.sealers))
    if users.openers:
        statements.append(key_policy.opening(users.openers))
    return statements
