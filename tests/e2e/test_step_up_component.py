"""`StepUp` as programs in other languages instantiate it: a remote component that the provider constructs."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.aws_account import Account, AwsProject, running_account, small_project
from support.project import REPOSITORY

from keyrung_infra.policy_text import policy_text
from keyrung_infra.tools import Tools

_PROGRAM = '''
import json
from pathlib import Path
import pulumi
import pulumi_aws as aws

class StepUp(pulumi.ComponentResource):
    """What an SDK generated from the schema sends: inputs and outputs by their names in it."""

    def __init__(self, name, inputs, outputs):
        super().__init__("keyrung:index:StepUp", name, {**inputs, **dict.fromkeys(outputs)}, None, remote=True)

role = aws.iam.Role("api", assume_role_policy="{}")
principal = "arn:aws:iam::123456789012:role/api"
client = {"clientId": "api", "audience": "https://api.example.com", "principalArn": principal}
inputs = {"policy": Path("policy.json").read_text(), "package": "verifier.zip", "clients": [client]}
inputs["deployerArn"] = role.arn
inputs |= json.loads(pulumi.Config().get("inputs") or "{}")
made = StepUp("stepup", inputs, ["url", "keys", "policyVersion", "auditBucket"])
for name in ("url", "keys", "policyVersion", "auditBucket"):
    pulumi.export(name, getattr(made, name))
'''


@pytest.fixture
def project(tools: Tools, tmp_path: Path) -> Iterator[AwsProject]:
    with running_account() as account:
        yield _project(tmp_path / "project", account, tools)


def _project(root: Path, account: Account, tools: Tools) -> AwsProject:
    made = small_project(root, account, tools, _PROGRAM)
    described = yaml.safe_load((root / "Pulumi.yaml").read_text())
    described["plugins"]["providers"].append({"name": "keyrung", "path": str(REPOSITORY / "infra" / "plugin")})
    (root / "Pulumi.yaml").write_text(yaml.safe_dump(described))
    (root / "policy.json").write_text(policy_text(REPOSITORY / "policies" / "catalog"))
    with zipfile.ZipFile(root / "verifier.zip", "w") as package:
        package.writestr("no_code.py", "")  # functions are kept, not run
    made.pulumi("config", "set", "keyrung:awskmsEndpoint", str(account.endpoint))
    return made


def test_a_program_in_any_language_deploys_a_whole_stack_and_gets_its_outputs(project: AwsProject) -> None:
    project.pulumi("up", "--yes", "--skip-preview")
    outputs = project.pulumi_json("stack", "output", "--json")
    assert outputs["url"].startswith("https://")
    assert sorted(outputs["keys"]) == ["assertion-signing", "audit-signing", "credential-seed", "policy-signing"]
    document = json.loads(
        project.account.client("s3").get_object(Bucket=_config_bucket(project), Key="deployment.json")["Body"].read()
    )
    assert [client["client_id"] for client in document["clients"]] == ["api"]


def test_what_is_wrong_is_told_in_a_sentence_before_anything_is_made(project: AwsProject) -> None:
    project.pulumi("config", "set", "inputs", json.dumps({"architecture": "sparc"}))

    refused = project.pulumi("preview", check=False)
    assert refused.returncode != 0
    assert "architecture must be one of arm64, x86_64, not 'sparc'" in refused.stdout


def _config_bucket(project: AwsProject) -> str:
    names = [each["Name"] for each in project.account.client("s3").list_buckets()["Buckets"]]
    return next(str(name) for name in names if "config" in name)
