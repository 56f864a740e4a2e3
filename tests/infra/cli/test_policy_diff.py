"""`keyrung policy diff` and `prove`: sources, exit codes, and reports as a pipeline uses them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyrung_infra.cli import policy_diff, policy_prove
from keyrung_infra.cli.main import run
from keyrung_infra.errors import InfraError

POLICY = """\
keyrung: policy/v1
default: deny
attributes:
  resource.amount: {type: integer, min: 0, max: 1000}
levels:
  otp: {acr: "urn:keyrung:otp", any_of: [[otp]]}
rules:
  - {id: small, actions: [pay], when: {resource.amount: {lt: 100}}, allow: true}
  - {id: large, actions: [pay], when: {resource.amount: {gte: 100}}, require: {level: otp, max_age: 5m}}
invariants:
  - {name: large amounts need a step-up, actions: [pay], when: {resource.amount: {gte: 100}}, never: allow}
"""
WEAKER = POLICY.replace("lt: 100}", "lt: 200}").replace("gte: 100}}, require", "gte: 200}}, require")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in git: the first commit holds the policy, the folder a weaker one."""
    (tmp_path / "Pulumi.yaml").write_text("name: test\n")
    catalogue = tmp_path / "policies" / "catalog"
    catalogue.mkdir(parents=True)
    (catalogue / "pay.yaml").write_text(POLICY)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "--initial-branch=main"], ["add", "."], ["commit", "--message", "first"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True, capture_output=True)
    (catalogue / "pay.yaml").write_text(WEAKER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def diff(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(policy_diff.command, list(arguments), catch_exceptions=False)
    return done.exit_code, done.output


def test_a_revision_is_compared_with_the_folder_as_it_is(repository: Path) -> None:
    code, written = diff("main")
    assert code == 0
    assert "Weaker: some requests are asked for less." in written
    assert "from main:policies/catalog to policies/catalog; 0 of 1 actions proved the same" in written
    assert "resource.amount: 100" in written


@pytest.mark.parametrize("base", ["main", "HEAD", "main:policies/catalog", "main:policies/catalog/pay.yaml"])
def test_a_weakening_ends_with_1_where_that_is_asked_for(repository: Path, base: str) -> None:
    assert diff(base, "policies/catalog/pay.yaml", "--fail-on", "weaker")[0] == 1


def test_a_revision_is_found_from_a_folder_inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "policies")
    assert diff("main", "--fail-on", "weaker")[0] == 1


@pytest.mark.parametrize("source", ["main", "main:policies/catalog"])
def test_a_path_cannot_stand_in_for_the_revision_of_its_name(repository: Path, source: str) -> None:
    shadow = repository / source
    shadow.mkdir(parents=True)
    (shadow / "pay.yaml").write_text(WEAKER)
    with pytest.raises(InfraError, match="both a path and a git revision"):
        diff(source, "--fail-on", "weaker")
    assert diff(f"./{source}", "--fail-on", "weaker")[0] == 0
    assert diff("main~0", "--fail-on", "weaker")[0] == 1


def test_a_catalogue_outside_the_repository_is_told_in_a_sentence(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = repository / "inner"
    subprocess.run(["git", "init", "--initial-branch=main", str(inner)], check=True, capture_output=True)
    monkeypatch.chdir(inner)
    with pytest.raises(InfraError, match="is not in the git repository"):
        diff("main")


def test_the_other_direction_is_stronger_and_stops_only_where_any_change_does(repository: Path) -> None:
    assert diff("policies/catalog", "main", "--fail-on", "weaker")[0] == 0
    assert diff("policies/catalog", "main", "--fail-on", "any")[0] == 1
    assert diff("main", "main", "--fail-on", "any")[0] == 0


def test_every_report_can_be_written_in_one_run(repository: Path) -> None:
    code, written = diff("main", "--json", "--markdown", "d.md", "--html", "d.html", "--sarif", "d.sarif")
    assert code == 0
    assert json.loads(written)["verdict"] == "weaker"
    assert (repository / "d.md").read_text().startswith("## ⚠️ Policy change: weaker")
    assert (repository / "d.html").read_text().startswith("<!doctype html>")
    (result,) = json.loads((repository / "d.sarif").read_text())["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "policies/catalog/pay.yaml"


def test_a_report_on_standard_output_stands_alone(repository: Path) -> None:
    code, written = diff("main", "--sarif", "-")
    assert code == 0
    assert json.loads(written)["version"] == "2.1.0"


@pytest.mark.parametrize("source", ["nowhere", "main:nowhere", "--upload-pack=x", "main^{tree}", "main:../.."])
def test_what_is_no_policy_is_told_in_a_sentence(
    repository: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "diff", "--", source]) == 1
    told = capsys.readouterr().err
    assert told.startswith("keyrung: ")
    assert len(told.splitlines()) == 1


def test_a_mistake_in_either_version_is_told_with_its_place(repository: Path) -> None:
    (repository / "broken.yaml").write_text(POLICY + "surprise: true\n")
    done = CliRunner().invoke(policy_diff.command, ["main", "broken.yaml"])
    assert done.exit_code == 1
    assert "broken.yaml:12:1: unknown-field" in done.output


def prove(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(policy_prove.command, list(arguments), catch_exceptions=False)
    return done.exit_code, done.output


def test_a_broken_promise_ends_with_1_and_shows_a_request(repository: Path) -> None:
    code, written = prove()
    assert code == 1
    assert "refuted: large amounts need a step-up (policies/catalog/pay.yaml:11)" in written
    assert "the outcome is allow, not step_up or deny" in written
    assert "resource.amount: 100" in written


def test_a_kept_promise_and_no_finding_end_with_0(repository: Path) -> None:
    (repository / "good.yaml").write_text(POLICY)
    code, written = prove("good.yaml")
    assert (code, written.splitlines()[-1]) == (0, "good.yaml: 1 of 1 invariant proved, 0 lint findings")


def test_every_promise_of_the_sample_bank_is_kept() -> None:
    code, written = prove(str(Path(__file__).parents[3] / "policies" / "catalog"))
    assert code == 0
    assert written.endswith("2 of 2 invariants proved, 0 lint findings\n")


def test_proofs_and_lints_are_given_to_programs(repository: Path) -> None:
    (repository / "dead.yaml").write_text(
        POLICY.replace(
            "invariants:",
            "  - {id: x, actions: [pay], when: {resource.amount: {gt: 1, lt: 2}}, deny: true}\ninvariants:",
        )
    )
    code, written = prove("dead.yaml", "--json")
    document = json.loads(written)
    assert code == 1
    assert [one["verdict"] for one in document["invariants"]] == ["proved"]
    assert [one["id"] for one in document["lints"]] == ["dead-rule"]
    assert prove("dead.yaml", "--sarif", "p.sarif")[0] == 1
    (result,) = json.loads((repository / "p.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "dead-rule"


def test_without_the_solver_the_command_says_what_to_install(repository: Path) -> None:
    blocked = "import sys; sys.modules['z3'] = None; from keyrung_infra.cli.main import main; "
    blocked += "main(['policy', 'diff', 'main'])"
    done = subprocess.run([sys.executable, "-c", blocked], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "keyrung: comparing and proving policies needs z3; install it with `pip install 'keyrung[analysis]'`.\n"
    )
