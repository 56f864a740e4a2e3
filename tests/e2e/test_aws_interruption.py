"""A killed `up`, `refresh` and `destroy` over KMS: the steps of infra/README.md leave one key, and nothing else.

Each run is held inside a request to KMS while it is killed with all of its plugins, so that it always dies in the same
place: `up` when KMS holds the key and its alias and `keyrung.Key` is half done, the others at the key in KMS.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.kms.responses import KmsResponse
from support.aws_account import Account, AwsProject, account_here, inventory_table, small_project
from support.project import REPOSITORY

from keyrung_infra.tools import Tools

_HELD_SECONDS = 60
_POLL_SECONDS = 0.1
_PROGRAM = """
import pulumi, pulumi_aws as aws
from keyrung_infra.resources import Key
from keyrung_provisioners.api import Purpose

made = aws.kms.Key(
    "sign", customer_master_key_spec="ECC_NIST_P256", key_usage="SIGN_VERIFY", deletion_window_in_days=7
)
alias = aws.kms.Alias("sign", name="alias/sign", target_key_id=made.id)
key = Key(
    "sign", vault="awskms:region=eu-central-1", key_name="sign", purpose=Purpose.ASSERTION_SIGNING,
    source=made.arn, deletion_protection=False, opts=pulumi.ResourceOptions(depends_on=[alias]),
)
pulumi.export("thumbprint", key.thumbprint)
"""


class Hold:
    """Holds the next request of one operation of KMS until it is let go."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def killed(self, project: AwsProject, operation: str, *arguments: str) -> None:
        """Run `pulumi`, and kill it and everything that it started while it waits for ``operation``."""
        reached, let_go = threading.Event(), threading.Event()
        real = getattr(KmsResponse, operation)

        def held(response: KmsResponse) -> Any:
            reached.set()
            let_go.wait(_HELD_SECONDS)
            return real(response)

        with self._patch.context() as patch:
            patch.setattr(KmsResponse, operation, held)
            with (project.root / "killed.txt").open("wb") as told:
                run = subprocess.Popen(
                    ["pulumi", "--non-interactive", *arguments, "--yes"],
                    cwd=project.root,
                    env=project.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=told,
                    stderr=told,
                    start_new_session=True,
                )
                try:
                    while not reached.wait(_POLL_SECONDS):
                        assert run.poll() is None, (project.root / "killed.txt").read_text()
                finally:
                    with suppress(ProcessLookupError):  # it ended by itself, which the assertion tells
                        os.killpg(run.pid, signal.SIGKILL)
                    run.wait()
                    let_go.set()


@pytest.fixture
def account() -> Iterator[Account]:
    with account_here() as found:
        yield found


@pytest.fixture
def project(tools: Tools, account: Account, tmp_path: Path) -> AwsProject:
    made = small_project(tmp_path / "project", account, tools, _PROGRAM)
    description = made.root / "Pulumi.yaml"
    document = yaml.safe_load(description.read_text())
    document["plugins"]["providers"].append({"name": "keyrung", "path": str(REPOSITORY / "infra/plugin")})
    description.write_text(yaml.safe_dump(document))
    made.pulumi("config", "set", "keyrung:inventory", inventory_table(account))
    made.pulumi("config", "set", "keyrung:awskmsEndpoint", str(account.endpoint))
    return made


def readme_steps() -> list[list[str]]:
    """Return the arguments of `pulumi` in the README's section, in order."""
    section = (REPOSITORY / "infra/README.md").read_text("utf-8").partition("## After an interruption")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    steps = [line.partition("#")[0].split() for line in block.splitlines()]
    assert all(step[0] == "pulumi" for step in steps)
    return [step[1:] for step in steps]


def _states(account: Account) -> list[str]:
    kms = account.client("kms")
    return [kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]["KeyState"] for each in kms.list_keys()["Keys"]]


def _aliases(account: Account) -> list[str]:
    found = [each["AliasName"] for each in account.client("kms").list_aliases()["Aliases"]]
    return [name for name in found if not name.startswith("alias/aws/")]


def test_a_killed_run_is_finished_by_the_steps_of_the_readme(
    project: AwsProject, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, (cancel, refresh, up) = Hold(monkeypatch), readme_steps()

    hold.killed(project, "get_public_key", "up")
    assert _states(account) == ["Enabled"]
    for step in (cancel, refresh, up):
        project.pulumi(*step)
    thumbprint = project.pulumi_json("stack", "output", "--json")["thumbprint"]
    project.pulumi(*up, "--expect-no-changes")

    hold.killed(project, "describe_key", "refresh")
    for step in (cancel, refresh, up):
        project.pulumi(*step)
    project.pulumi(*up, "--expect-no-changes")
    assert project.pulumi_json("stack", "output", "--json")["thumbprint"] == thumbprint
    assert (_states(account), _aliases(account)) == (["Enabled"], ["alias/sign"])

    hold.killed(project, "schedule_key_deletion", "destroy")
    for step in (cancel, refresh, ["destroy", "--yes"]):
        project.pulumi(*step)
    assert project.resources().keys() <= {"small-test"}
    assert (_states(account), _aliases(account)) == (["PendingDeletion"], [])
