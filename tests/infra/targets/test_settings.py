"""A stack's settings: the defaults of Pulumi.yaml do, and what is wrong is told with its name and an example."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from support.aws_account import Account, AwsProject
from support.project import REPOSITORY, copy_program
from support.pulumi_mocks import deploy

from keyrung_infra.components import StepUpArgs
from keyrung_infra.project import find_root
from keyrung_infra.settings import Target, chosen_target
from keyrung_infra.targets.aws_settings import step_up_args
from keyrung_infra.targets.local_settings import LocalSettings
from keyrung_infra.tools import Tools

_PROJECT: dict[str, Any] = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())
_STACKS = REPOSITORY / "infra" / "stacks"
_PACKAGE = "dist/verifier-arm64.zip"


def _text(value: object) -> str:
    """Return a setting as the engine hands it to the program."""
    return value if isinstance(value, str) else json.dumps(value)


def _config(stack: Mapping[str, object]) -> dict[str, str]:
    defaults = {f"stepup:{name}": rule["default"] for name, rule in _PROJECT["config"].items()}
    return {name: _text(value) for name, value in {**defaults, **stack}.items()}


def _stack(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((_STACKS / f"Pulumi.{name}.yaml").read_text())["config"]
    return found


def _read(read: Callable[[], object], **changed: object) -> Any:
    """Return what ``read`` makes of the defaults with some settings changed."""
    seen: list[object] = []
    config = _config({f"stepup:{name}": value for name, value in changed.items()})
    deploy(lambda: seen.append(read()), config=config)
    return seen[0]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project in which the package was built."""
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / _PACKAGE).parent.mkdir()
    (tmp_path / _PACKAGE).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _aws(**changed: object) -> StepUpArgs:
    found: StepUpArgs = _read(lambda: step_up_args("{}"), **changed)
    return found


def test_the_aws_stack_says_no_more_than_region_and_target() -> None:
    assert _stack("aws") == {"aws:region": "eu-central-1", "stepup:target": "aws"}


def test_the_defaults_of_the_project_are_those_of_the_component() -> None:
    package = find_root() / _PACKAGE

    assert _aws() == StepUpArgs(policy="{}", package=package, clients=[], operator_arns=[], alarm_emails=[])


def test_the_production_example_is_read_whole() -> None:
    example = _stack("production-example")
    args = _aws(**{name.removeprefix("stepup:"): value for name, value in example.items() if "stepup:" in name})

    assert args.audit_lock_mode == "COMPLIANCE"
    assert (args.reserved_concurrency, args.provisioned_concurrency) == (200, 2)
    assert [client.client_id for client in args.clients] == ["payments"]
    assert all(name.removeprefix("stepup:") in _PROJECT["config"] for name in example if "stepup:" in name)


def test_the_local_stack_is_read_whole() -> None:
    settings: LocalSettings = _read(
        LocalSettings.load, **{name.removeprefix("stepup:"): value for name, value in _stack("local").items()}
    )

    assert settings.token == "pkcs11:token=keyrung"
    assert [client["client_id"] for client in settings.clients] == ["sample-api"]


def test_every_setting_is_described_and_typed() -> None:
    assert all({"type", "default", "description"} <= rule.keys() for rule in _PROJECT["config"].values())


@pytest.mark.parametrize("target", list(Target))
def test_every_target_has_a_program(target: Target) -> None:
    assert (REPOSITORY / "infra" / "keyrung_infra" / "targets" / f"{target}.py").is_file()
    assert _read(chosen_target, target=target.value) is target


_WRONG: list[tuple[Callable[[], object], str, object, str]] = [
    (chosen_target, "target", "azure", "must be one of local, aws"),
    (LocalSettings.load, "token", "", "is missing"),
    (LocalSettings.load, "clients", [{"client_id": "a"}], "audience, client_id, secret"),
    (lambda: step_up_args("{}"), "keyGeneration", 0, "must be a whole number, 1 or more"),
    (lambda: step_up_args("{}"), "keyGeneration", "two", "must be a whole number"),
    (lambda: step_up_args("{}"), "oldestSigningGeneration", 2, "must be a whole number, 1 to 1"),
    (lambda: step_up_args("{}"), "keyDeletionDays", 31, "must be a whole number, 7 to 30"),
    (lambda: step_up_args("{}"), "memoryMb", 64, "must be a whole number, 128 to 10240"),
    (lambda: step_up_args("{}"), "multiRegionKeys", "perhaps", "must be true or false"),
    (lambda: step_up_args("{}"), "architecture", "sparc", "must be one of arm64, x86_64"),
    (lambda: step_up_args("{}"), "architecture", "x86_64", "`keyrung bundle build --architecture x86_64"),
    (lambda: step_up_args("{}"), "package", "my.zip", "names my.zip, which is not there"),
    (lambda: step_up_args("{}"), "front", "alb", "must be one of http-api, function-url"),
    (lambda: step_up_args("{}"), "auditLockMode", "NONE", "must be one of GOVERNANCE, COMPLIANCE"),
    (lambda: step_up_args("{}"), "logRetentionDays", 8, "must be a period that CloudWatch offers"),
    (lambda: step_up_args("{}"), "importedKeys", ["kek"], "not kek"),
    (lambda: step_up_args("{}"), "operators", "someone", "must be a list"),
    (lambda: step_up_args("{}"), "alarmEmails", [1], "must be a list of texts"),
    (lambda: step_up_args("{}"), "clients", [{"client_id": "a", "audience": "b", "secret": "c"}], "principal_arn"),
]


@pytest.mark.parametrize(("read", "name", "value", "told"), _WRONG, ids=[f"{each[1]}={each[2]}" for each in _WRONG])
def test_a_wrong_setting_names_itself_and_an_example(
    read: Callable[[], object], name: str, value: object, told: str
) -> None:
    complete = {"token": "t", "transit": "t", "issuer": "i"} if read == LocalSettings.load else {}
    with pytest.raises(pulumi.RunError) as refused:
        _read(read, **{**complete, name: value})

    assert told in str(refused.value)
    assert re.match(r"the setting stepup:(\w+) .* such as stepup:\1: ", str(refused.value))
    assert f"stepup:{name} " in str(refused.value) or name == "architecture"  # without a package for it


# Instead of the stack: exports what the settings of both targets are read as, and declares nothing.
_EXPORTS_SETTINGS = """
from dataclasses import asdict

import pulumi

from keyrung_infra.targets.aws_settings import step_up_args
from keyrung_infra.targets.local_settings import LocalSettings

for target, settings in {"local": LocalSettings.load(), "aws": step_up_args("{}")}.items():
    pulumi.export(target, {name: value for name, value in asdict(settings).items() if isinstance(value, bool)})
"""


def test_a_flag_is_read_alike_as_a_boolean_of_yaml_and_as_the_text_that_config_set_writes(
    tmp_path: Path, tools: Tools
) -> None:
    root = tmp_path / "repository"
    copy_program(root)
    (root / "infra" / "__main__.py").write_text(_EXPORTS_SETTINGS)
    (root / _PACKAGE).parent.mkdir()
    (root / _PACKAGE).touch()
    pulumi_of = AwsProject(root=root, account=Account(endpoint=None), tools=tools).pulumi  # which asks AWS nothing
    pulumi_of("stack", "init", "flags")
    for name in ("token", "transit", "issuer"):
        pulumi_of("config", "set", name, "any")
    file = root / "infra" / "stacks" / "Pulumi.flags.yaml"
    flags = [name for name, rule in _PROJECT["config"].items() if rule["type"] == "boolean"]

    for value, text in ((True, "true"), (False, "false")):
        document = yaml.safe_load(file.read_text())
        document["config"] |= {f"stepup:{name}": value for name in flags}
        file.write_text(yaml.safe_dump(document))
        as_booleans = _exported(pulumi_of)
        pulumi_of("config", "set-all", *(part for name in flags for part in ("--plaintext", f"{name}={text}")))
        written = yaml.safe_load(file.read_text())["config"]
        assert {written[f"stepup:{name}"] for name in flags} == {text}

        assert as_booleans == _exported(pulumi_of)
        assert set(as_booleans["local"]) == {"protect_keys", "allow_weaker_policies"}
        assert set(as_booleans["aws"]) == {"protect", "allow_weaker_policies", "multi_region_keys"}
        assert {*as_booleans["local"].values(), *as_booleans["aws"].values()} == {value}


def _exported(pulumi_of: Callable[..., Any]) -> dict[str, dict[str, bool]]:
    pulumi_of("up", "--yes", "--skip-preview")
    found: dict[str, dict[str, bool]] = json.loads(pulumi_of("stack", "output", "--json").stdout)
    return found
