"""What a stack has deployed, as its Pulumi state says: the measure that everything else is held to."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyrung_infra.errors import InfraError
from keyrung_infra.keys.access import stack_settings
from keyrung_verifier.deployment import OBJECT_NAME

_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The deployed stack.

    Attributes:
        root: The project's folder.
        settings: How the stores of its keys are reached (references).
        outputs: What it exports.
        keys: The outputs of each `keyrung.Key`, by its name.
        policy: The outputs of its `PolicySet`.
        document: The verifier's configuration (JSON), as deployed.
        document_path: Where it lies, on this machine; None in AWS.
        bucket: Name of the bucket that it lies in, in AWS.
        alarms: Names of the alarms in CloudWatch.
        region: Of AWS; empty for a local stack.
    """

    root: Path
    settings: Mapping[str, str]
    outputs: Mapping[str, Any]
    keys: Mapping[str, Mapping[str, Any]]
    policy: Mapping[str, Any]
    document: str
    document_path: Path | None
    bucket: str
    alarms: Sequence[str]
    region: str

    @property
    def inventory(self) -> str:
        """Where the key inventory is."""
        return str(self.outputs.get("inventory") or self.settings.get("inventory", ""))

    def parsed(self) -> Mapping[str, Any]:
        """Return the verifier's configuration."""
        parsed = json.loads(self.document)
        return parsed if isinstance(parsed, dict) else {}


def read_deployment(root: Path, stack: str) -> Deployment:
    """Return what the state of ``stack`` holds.

    Raises:
        InfraError: `pulumi` cannot give the state, or nothing of ours is deployed.
    """
    resources = _exported(root, stack)
    of = {kind: [each for each in resources if each["type"] == kind] for kind in {each["type"] for each in resources}}
    keys = {_name(each): each["outputs"] for each in of.get("keyrung:index:Key", [])}
    policies = of.get("keyrung:index:PolicySet", [])
    local = of.get("keyrung:index:VerifierConfig", [])
    published = [each for each in of.get("aws:s3/bucketObjectv2:BucketObjectv2", []) if _key(each) == OBJECT_NAME]
    if not keys or not policies or not (local or published):
        raise InfraError(f"the stack {stack} has deployed no verifier", fix="deploy it with `pulumi up`")
    outputs: Mapping[str, Any] = next((each.get("outputs", {}) for each in of.get("pulumi:pulumi:Stack", [])), {})
    found = (local or published)[0]["outputs"]
    return Deployment(
        root=root,
        settings=stack_settings(root, stack),
        outputs=outputs,
        keys=keys,
        policy=policies[0]["outputs"],
        document=str(found["document"] if local else found["content"]),
        document_path=root / str(found["path"]) if local else None,
        bucket="" if local else str(found["bucket"]),
        alarms=[str(each["outputs"]["name"]) for each in of.get("aws:cloudwatch/metricAlarm:MetricAlarm", [])],
        region="" if local else _region(keys),
    )


def _exported(root: Path, stack: str) -> Sequence[Mapping[str, Any]]:
    command = ["pulumi", "stack", "export", "--stack", stack, "--non-interactive"]
    try:
        done = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError("pulumi cannot be run", fix='run `eval "$(keyrung dev env)"` first') from error
    if done.returncode != 0:
        why = " ".join(done.stderr.split())
        raise InfraError(
            f"pulumi gives no state of the stack {stack} ({why})", fix="select the back end and the stack as for `up`"
        )
    deployment = json.loads(done.stdout).get("deployment") or {}
    found = deployment.get("resources", [])
    return found if isinstance(found, list) else []


def _name(resource: Mapping[str, Any]) -> str:
    return str(resource["urn"]).rpartition("::")[2]


def _key(resource: Mapping[str, Any]) -> str:
    return str(resource.get("outputs", {}).get("key"))


def _region(keys: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the region of the first key: a deployment is in one."""
    return next(str(key["vault"]).rpartition("=")[2] for key in keys.values())
