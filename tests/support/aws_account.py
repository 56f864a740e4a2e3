"""An AWS account that moto plays on loopback, and Pulumi projects whose plugin `aws` is the test double."""

import json
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
import yaml
from moto.awslambda.models import LambdaBackend
from moto.dynamodb.responses import DynamoHandler
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.moto_api._internal.models import moto_api_backend
from moto.s3.models import FakeBucket
from moto.server import ThreadedMotoServer
from support.commands import ProjectCommands
from support.kms import put_kms_right

from keyrung_infra.tools import Tools

REAL = os.environ.get("KEYRUNG_AWS_ACCOUNT_TESTS") == "1"  # whoever sets it means the account of their credentials
REGION = "eu-central-1"
PLUGIN = Path(__file__).parent / "aws_plugin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account.

    Attributes:
        endpoint: Where every service of an account that is played answers; None for a real one.
    """

    endpoint: str | None

    def environment(self) -> dict[str, str]:
        """Return what points every AWS SDK at the account; a real one is found as AWS's SDKs find it."""
        if self.endpoint is None:
            return {}
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """Return a client of boto3."""
        return boto3.client(service, region_name=REGION, endpoint_url=self.endpoint)


@contextmanager
def real_account() -> Iterator[Account]:
    """Give the account that the AWS credentials of this environment belong to; skip where there are none."""
    if boto3.session.Session().get_credentials() is None:
        pytest.skip("no AWS credentials: set AWS_PROFILE, or the variables of a role")
    yield Account(endpoint=None)


@contextmanager
def running_account() -> Iterator[Account]:
    """Serve an empty account from a process of its own: whatever runs in one process shares what moto remembers."""
    command = [sys.executable, "-m", "support.aws_account"]
    with (
        _credentials(),
        subprocess.Popen(
            command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield Account(endpoint=server.stdout.readline().strip())
        finally:
            server.stdin.close()  # which ends it


@contextmanager
def account_here() -> Iterator[Account]:
    """Serve an empty account from this process, for tests that reach into moto; it has to be the only one in it."""
    moto_api_backend.reset()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with _credentials(), pytest.MonkeyPatch.context() as patch:
        put_kms_right(patch)
        patch.setattr(LambdaBackend, "send_dynamodb_items", lambda *_args: True)  # functions are kept, not run
        patch.setattr(DynamoHandler, "call_action", _one_by_one(DynamoHandler.call_action))
        patch.setattr(FakeBucket, "get_permission", _unconditional_permission)
        patch.setattr(logging.getLogger("werkzeug"), "disabled", True)  # a line for every request
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield Account(endpoint=f"http://{host}:{port}")
        finally:
            server.stop()


@contextmanager
def _credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        yield


def _one_by_one(call: Callable[..., Any]) -> Callable[..., Any]:
    """Have one request at a time: a transaction that moto cancels takes back what others wrote meanwhile."""
    turn = threading.Lock()

    def in_turn(*args: Any, **kwargs: Any) -> Any:
        with turn:
            return call(*args, **kwargs)

    return in_turn


def _unconditional_permission(bucket: FakeBucket, action: str, resource: str) -> Any:
    """Judge by the statements without a condition: moto reads the others as if theirs always held."""
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(bucket.policy)
    policy["Statement"] = [each for each in policy["Statement"] if "Condition" not in each]
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)


def inventory_table(account: Account) -> str:
    """Make an empty table for an inventory and return the inventory's name."""
    name = f"inventory-{secrets.token_hex(4)}"
    account.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
    )
    return f"dynamodb:table={name};region={REGION}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsProject(ProjectCommands):
    """A Pulumi project over the account, with state and home folders of its own."""

    command_seconds: ClassVar[int] = 300

    root: Path
    account: Account
    tools: Tools

    def environment(self) -> dict[str, str]:
        """Return the environment of its commands."""
        state = self.root / ".pulumi-state"
        state.mkdir(exist_ok=True)
        path = os.pathsep.join(
            [str(self.tools.pulumi_folder), str(Path(sys.prefix, "bin")), os.environ.get("PATH", os.defpath)]
        )
        return {
            **os.environ,
            **self.account.environment(),
            "PULUMI_HOME": str(self.root / ".pulumi-home"),
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "for tests",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PATH": path,
        }

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the deployed resources by their names, as the state has them."""
        deployed = self.pulumi_json("stack", "export")["deployment"].get("resources", [])
        return {each["urn"].rpartition("::")[2]: each for each in deployed}


def small_project(root: Path, account: Account, tools: Tools, program: str) -> AwsProject:
    """Return a project in the empty folder ``root`` with the stack `test`, whose program is the text ``program``."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "Pulumi.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "small",
                "runtime": {"name": "python", "options": {"virtualenv": ".venv"}},
                "plugins": {"providers": [{"name": "aws", "path": str(PLUGIN)}]},
            }
        )
    )
    (root / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    (root / "__main__.py").write_text(program)
    project = AwsProject(root=root, account=account, tools=tools)
    project.pulumi("stack", "init", "test")
    project.pulumi("config", "set", "aws:region", REGION)
    return project


if __name__ == "__main__":
    with account_here() as served:
        sys.stdout.write(f"{served.endpoint}\n")
        sys.stdout.flush()
        sys.stdin.read()
