"""A deployment in the AWS that moto plays: keys in KMS, the store's table, a bucket with document and policy."""

import base64
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from support.aws import CREDENTIALS, REGION, TABLE, aws_client, dynamodb_store, make_table, sdk_client, url
from support.lambda_events import ROLE_ARN
from support.verifier import OPERATOR, POLICY_KEY, Totp, b64, bundle_bytes

from keyrung_verifier.audit_writer import AuditWriter
from keyrung_verifier.aws.clients import AwsClients
from keyrung_verifier.aws.deployed import signing_line
from keyrung_verifier.aws.endpoint import Endpoint
from keyrung_verifier.aws.kms import KmsSealer
from keyrung_verifier.credentials import Credentials
from keyrung_verifier.deployment import parse_deployment
from keyrung_verifier.keys import thumbprint
from keyrung_verifier.store.dynamodb_table import AUDIT_SHARDS
from keyrung_verifier.system import SystemClock, SystemRandom

BUCKET, DOCUMENT, POLICY, ARCHIVE = "keyrung-config", "deployment.json", "policy-bundle.json", "keyrung-archive"
ISSUER = "https://verifier.example"
AUDIENCE = "https://api.example"


@dataclass(kw_only=True)
class AwsDeployment:
    """What `pulumi up` would have made; `publish` is a later one."""

    endpoint: Endpoint
    document: dict[str, Any] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return what a function of this deployment finds in its environment."""
        return {
            "KEYRUNG_CONFIG": f"s3://{BUCKET}/{DOCUMENT}",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key_id,
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_access_key,
            "AWS_ENDPOINT_URL": url(self.endpoint),
        }

    def publish(self, **changes: object) -> None:
        """Write the document with these members changed."""
        self.document |= changes
        self.put(DOCUMENT, json.dumps(self.document).encode())

    def publish_policy(self, **changes: Any) -> None:
        """Write a policy that is good from now on, or one that is changed so."""
        now = datetime.now(UTC)
        life = {"not_before": now - timedelta(days=1), "expires_at": now + timedelta(days=30)}
        self.put(POLICY, bundle_bytes(**(life | changes)))

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def remove(self, key: str) -> None:
        self.s3.delete_object(Bucket=BUCKET, Key=key)

    @property
    def s3(self) -> Any:
        return sdk_client("s3", self.endpoint)

    def enrol_totp(self, subject: str = "alice") -> Totp:
        """Add an authenticator as an operator does."""
        clock, random = SystemClock(), SystemRandom()
        deployment = parse_deployment(json.dumps(self.document).encode())
        store = dynamodb_store(self.endpoint, shards=AUDIT_SHARDS)
        clients = AwsClients(self.environment(), clock=clock, random=random)
        audit = AuditWriter(
            store=store,
            signers=signing_line(deployment.audit_keys, clients, clock=clock),
            checkpoints=None,
            clock=clock,
            random=random,
        )
        audit.open()
        credentials = Credentials(store=store, audit=audit, clock=clock, random=random, operator=OPERATOR)
        sealer = KmsSealer(
            client=aws_client("kms", self.endpoint),
            key_uri=deployment.seed_keys[0].uri,
            generation=1,
            state="active",
        )
        made = credentials.add_totp(subject, sealer=sealer, issuer_name="Sample Bank")
        return Totp(credential_id=made.credential_id, seed=base64.b32decode(made.secret_base32))

    def lines(self) -> list[dict[str, Any]]:
        """Return every record of the audit log, chain after chain."""
        store = dynamodb_store(self.endpoint, shards=AUDIT_SHARDS)
        tails = map(store.audit_tail, store.audit_shards)
        found = [store.audit_line(tail.shard, seq) for tail in tails for seq in range(tail.seq + 1)]
        return [json.loads(line) for line in found if line is not None]

    def stream(self) -> list[dict[str, Any]]:
        """Return every item of the table as a record of its stream: in order within a chain, otherwise mixed."""
        items = sdk_client("dynamodb", self.endpoint).scan(TableName=TABLE)["Items"]
        random.Random(7).shuffle(items)  # noqa: S311 - the same order in each run
        items.sort(key=lambda item: item["sk"]["S"])
        records = [
            {
                "eventName": "INSERT",
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": {name: item[name] for name in ("pk", "sk")},
                    "NewImage": item,
                    "SequenceNumber": str(1000 + place),
                },
            }
            for place, item in enumerate(items)
        ]
        # As JSON, which is how a function gets them.
        text = json.dumps(records, default=lambda data: base64.b64encode(data).decode())
        found: list[dict[str, Any]] = json.loads(text)
        return found

    def archived(self, prefix: str) -> dict[str, bytes]:
        """Return the objects of the archive whose names begin so."""
        listed = self.s3.list_objects_v2(Bucket=ARCHIVE, Prefix=prefix).get("Contents", [])
        names = [found["Key"] for found in listed]
        return {name: self.s3.get_object(Bucket=ARCHIVE, Key=name)["Body"].read() for name in names}


def deploy(endpoint: Endpoint) -> AwsDeployment:
    """Make a deployment with one client, which calls as `ROLE_ARN`."""
    make_table(endpoint)
    made = AwsDeployment(endpoint=endpoint)
    for bucket in (BUCKET, ARCHIVE):
        made.s3.create_bucket(
            Bucket=bucket,
            CreateBucketConfiguration={"LocationConstraint": REGION},
            ObjectLockEnabledForBucket=bucket == ARCHIVE,
        )
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 365}}}
    made.s3.put_object_lock_configuration(Bucket=ARCHIVE, ObjectLockConfiguration=lock)
    audit = signing_key(endpoint, "audit")
    made.publish_policy()
    made.publish(
        issuer=ISSUER,
        store=f"dynamodb:table={TABLE};region={REGION};shards=16",
        policy={"bundle": f"s3://{BUCKET}/{POLICY}", "keys": {POLICY_KEY.key_id: POLICY_KEY.public_jwk}},
        audit={"archive": ARCHIVE, "keys": [audit["jwk"]]},
        assertion_keys=[signing_key(endpoint, "assertion")],
        audit_keys=[audit],
        seed_keys=[_sealing_key(endpoint, "seed")],
        clients=[{"client_id": "sample-api", "audience": AUDIENCE, "principal_arn": ROLE_ARN}],
    )
    return made


def signing_key(endpoint: Endpoint, name: str, *, generation: int = 1) -> dict[str, Any]:
    """Make a P-256 key in KMS and return it as the document has it."""
    key_id = _new_key(endpoint, name, "SIGN_VERIFY", "ECC_NIST_P256")
    public = load_der_public_key(sdk_client("kms", endpoint).get_public_key(KeyId=key_id)["PublicKey"])
    assert isinstance(public, EllipticCurvePublicKey)
    numbers = public.public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32))}
    return _generation(name, generation=generation) | {"thumbprint": thumbprint(jwk), "jwk": jwk}


def _sealing_key(endpoint: Endpoint, name: str) -> dict[str, Any]:
    _new_key(endpoint, name, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT")
    return _generation(name)


def _generation(name: str, *, generation: int = 1) -> dict[str, Any]:
    return {
        "uri": f"awskms:region={REGION};alias={name}",
        "generation": generation,
        "state": "active",
        "use_not_before": "2026-01-01T00:00:00Z",
    }


def _new_key(endpoint: Endpoint, name: str, usage: str, spec: str) -> str:
    kms = sdk_client("kms", endpoint)
    key_id: str = kms.create_key(KeyUsage=usage, KeySpec=spec)["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key_id)
    return key_id
