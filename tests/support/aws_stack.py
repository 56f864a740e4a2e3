"""The stack `aws` as the README deploys it: over an account that moto plays, or, if asked for, over a real one."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.aws_account import PLUGIN, REAL, Account, AwsProject, real_account, running_account
from support.project import REPOSITORY, copy_program

from keyrung_infra.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedStack:
    """The deployed stack.

    Attributes:
        outputs: What it exports.
        deployed: Its resources, as they were after the deployment.
        seconds: How long each command of the README took.
    """

    project: AwsProject
    account: Account
    outputs: dict[str, Any]
    deployed: dict[str, Any]
    seconds: dict[str, float]

    def keyrung(self, *arguments: str, check: bool = True) -> Any:
        """Run the `keyrung` command on the stack's inventory."""
        return self.project.keyrung(*arguments, "--inventory", self.outputs["inventory"], check=check)

    def resources(self) -> dict[str, Any]:
        """Return the resources by their URNs, each with its id."""
        return _resources(self.project)

    def urn(self, name: str) -> str:
        """Return the URN of the one `keyrung.Key` of that name."""
        (found,) = [urn for urn in self.deployed if urn.endswith(f"keyrung:index:Key::{name}")]
        return found

    def alias(self, purpose: str) -> str:
        """Return the alias of the newest generation of a key, without the prefix ``alias/``."""
        return str(self.outputs["keys"][purpose].rpartition("=")[2])

    def document(self) -> tuple[str, bytes]:
        """Return the bucket of the deployment document, and the document."""
        (bucket,) = [
            each["Name"] for each in self.account.client("s3").list_buckets()["Buckets"] if "config" in each["Name"]
        ]
        return bucket, self._object(bucket, "deployment.json")

    def published(self) -> tuple[dict[str, Any], bytes]:
        """Return the deployment document and the signed policy as the verifier reads them."""
        bucket, document = self.document()
        return json.loads(document), self._object(bucket, "policy-bundle.json")

    def _object(self, bucket: str, key: str) -> bytes:
        read: bytes = self.account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return read


def _resources(project: AwsProject) -> dict[str, Any]:
    deployed = project.pulumi_json("stack", "export")["deployment"].get("resources", [])
    return {each["urn"]: each.get("id") for each in deployed}


def readme_commands() -> list[str]:
    """Return the commands of the README's section about AWS, in order."""
    section = (REPOSITORY / "README.md").read_text("utf-8").partition("## The same in AWS")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    return [line.partition("  #")[0].strip() for line in block.splitlines()]


@contextmanager
def deployed_stack(root: Path, tools: Tools) -> Iterator[DeployedStack]:
    """Deploy the stack by the README's commands from a copy of the project in the empty folder ``root``."""
    with real_account() if REAL else running_account() as account:
        project = aws_project(root, account, tools)
        seconds = {}
        for command in readme_commands():
            if command.startswith("pulumi preview") and account.endpoint is not None:
                project.pulumi("config", "set", "keyrung:awskmsEndpoint", account.endpoint)
            began = time.monotonic()
            project.run("sh", "-c", command)
            seconds[command] = time.monotonic() - began
        outputs = project.pulumi_json("stack", "output", "--json")
        stack = DeployedStack(
            project=project, account=account, outputs=outputs, deployed=_resources(project), seconds=seconds
        )
        yield stack
        if REAL:
            _take_down(stack)


def aws_project(root: Path, account: Account, tools: Tools) -> AwsProject:
    """Copy the program to ``root``; over an account that is played, the double is its plugin."""
    copy_program(root)
    if account.endpoint is not None:
        description = root / "Pulumi.yaml"
        document = yaml.safe_load(description.read_text())
        document["plugins"]["providers"].append({"name": "aws", "path": str(PLUGIN)})
        description.write_text(yaml.safe_dump(document, sort_keys=False))
    return AwsProject(root=root, account=account, tools=tools)


def _take_down(stack: DeployedStack) -> None:
    """Destroy what stands in a real account; what Object Lock holds needs the right to bypass governance."""
    stack.project.pulumi("config", "set", "protectKeys", "false")
    stack.project.pulumi("up", "--yes")
    s3 = stack.account.client("s3")
    for urn, name in stack.deployed.items():
        if "aws:s3/bucket:Bucket::" in urn:
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
                for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    s3.delete_object(
                        Bucket=name, Key=each["Key"], VersionId=each["VersionId"], BypassGovernanceRetention=True
                    )
    stack.project.pulumi("destroy", "--yes")
