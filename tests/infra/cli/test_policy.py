"""`keyrung policy`: what each command prints for people and for programs, and how it ends."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keyrung_infra.cli import main, policy

Run = Callable[..., tuple[int, str, str]]
CATALOG = Path(__file__).parents[3] / "policies" / "catalog"
HEAD = "keyrung: policy/v1\ndefault: deny\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process; returns exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(("policy", *arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_help_lists_every_policy_command(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(any(line.split()[:1] == [name] for line in out.splitlines()) for name in policy._COMMANDS)


def test_check_of_the_projects_catalogue_finds_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CATALOG.parent)
    code, out, err = run("check")
    assert (code, err) == (0, "")
    assert out.startswith("catalog: 6 rules, no mistakes\n  digest sha-256:")


def test_check_tells_every_mistake_with_a_place_that_opens_from_here(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules").mkdir()
    Path("rules", "one.yaml").write_text(HEAD + "rules:\n  - {id: a, actions: [x], permit: true}\nextra: 1\n")
    code, out, err = run("check", "rules")
    assert (code, out) == (1, "")
    assert [line.partition(": ")[0] for line in err.splitlines()] == [
        "rules/one.yaml:4:5",
        "rules/one.yaml:4:27",
        "rules/one.yaml:5:1",
        "3 mistakes",
    ]


def test_check_tells_mistakes_to_programs(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(HEAD)
    code, out, err = run("check", "--json", str(tmp_path))
    assert (code, err) == (1, "")
    assert json.loads(out) == {
        "ok": False,
        "errors": [
            {
                "id": "no-rules",
                "file": str(tmp_path),
                "line": 1,
                "column": 1,
                "sentence": "the policy has no rule",
                "fix": "add one under `rules`",
            }
        ],
    }


TRANSFER = ("explain", "--policy", str(CATALOG), "--action", "payments.transfer")
LARGE = ("resource.amount_minor=250000", "resource.currency=EUR", "resource.payee=Alice")
AT = ("--at", "2026-11-25T12:00:00Z")


def asked(*attributes: str) -> tuple[str, ...]:
    return (*TRANSFER, *AT, *(word for text in attributes for word in ("--attribute", text)))


def test_explain_says_what_a_request_needs_and_why(run: Run) -> None:
    code, out, _ = run(*asked(*LARGE))
    assert code == 1
    assert out == (
        "payments.transfer: step_up\n"
        "  needs    phr by token-signature-origin-bound, at most 5m old, for this method, uri and body, once\n"
        "  told as  acr_values=phr\n"
        "  shows    Transfer 2 500.00 EUR to Alice\n"
        "\n"
        "rules for this action:\n"
        "  large-transfer: requires phr; applies\n"
        "    resource.amount_minor >= 100000 (resource.amount_minor = 250000)\n"
        "  small-transfer: allows; does not apply\n"
        "    not so: resource.amount_minor < 100000 (resource.amount_minor = 250000)\n"
    )


def test_explain_judges_a_held_step_up(run: Run) -> None:
    code, out, _ = run(*asked(*LARGE), "--held", "phr,2026-11-25T11:58:00Z")
    assert (code, "held     is good enough, until 2026-11-25 12:03:00 UTC" in out) == (0, True)
    code, out, _ = run(*asked(*LARGE), "--held", "urn:keyrung:otp,1700000000", "--held-for", "other", "--json")
    document = json.loads(out)
    assert (code, document["passes"], document["held"]["satisfied"]) == (1, False, False)
    assert [text.partition(":")[0] for text in document["held"]["missing"]] == ["level", "age", "binding"]


def test_explain_says_what_a_denied_request_lacks(run: Run) -> None:
    code, out, _ = run(*asked("resource.amount_minor=many"))
    assert code == 1
    assert "because  resource.amount_minor must be an integer from 0 to 1000000000000" in out
    assert "send a value that the policy declares" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--attribute", "resource.gone=1"), "declares no attribute 'resource.gone'"),
        (("--attribute", "resource.amount_minor"), "has no value"),
        (("--held", "phr"), "has no time"),
        (("--at", "2026-11-25T12:00:00"), "is no moment with a time zone"),
    ],
)
def test_explain_refuses_what_it_cannot_read(run: Run, arguments: tuple[str, ...], told: str) -> None:
    code, out, err = run(*asked(*LARGE), *arguments)
    assert (code, out) == (2, "")
    assert told in err


BROKEN_CASE = """rules: [{id: one, actions: [a.b], allow: true}, {id: two, actions: [c], deny: true}]
cases:
  - {name: wrong, action: a.b, expect: {outcome: deny}}
  - {name: right, action: a.b, expect: {outcome: allow}}
"""


def test_test_names_the_failing_case_and_what_differs(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(HEAD + BROKEN_CASE)
    code, out, _ = run("test", str(file))
    assert code == 1
    assert out == (
        f"{file}:5: case \"wrong\" failed: outcome: expected 'deny', got 'allow'\n"
        f"{file}: 2 cases, 1 failed\n"
        "  rules       1 of 2 decide a case\n"
        "  thresholds  0 of 0 boundary values have a case\n"
        "  changes     not tried while a case fails\n"
    )


def test_the_first_steps_of_the_policy_page_work_as_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").touch()
    section = (CATALOG.parent / "README.md").read_text().partition("## Start here")[2]
    steps = re.findall(r"^\$ keyrung policy (.*?)(?: +#.*)?$", section.partition("\n## ")[0].partition("\n| ")[0], re.M)
    assert len(steps) == 5
    for step in steps:
        code, out, _ = run(*step.split())
        assert code == (1 if step.startswith("explain") else 0), (step, out)  # a step-up does not pass yet


def test_test_tells_an_invariant_that_a_case_breaks(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    promise = "invariants: [{name: closed, actions: ['a.*'], never: allow}]\n"
    file.write_text(HEAD + BROKEN_CASE.replace("outcome: deny", "outcome: allow") + promise)
    code, out, _ = run("test", str(file))
    assert code == 1
    told = 'invariant "closed" is broken by the case "wrong": the outcome is allow, not step_up or deny'
    assert f"{file}:7: {told}" in out.splitlines()


def test_test_lists_what_is_untested_and_fails_for_it_on_demand(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(HEAD + BROKEN_CASE.replace("outcome: deny", "outcome: allow"))
    code, out, _ = run("test", str(file))
    assert (code, out.splitlines()[-2:]) == (0, ["untested:", f"  {file}:3:54: two: decides no case"])
    code, out, _ = run("test", "--strict", "--json", str(file))
    document = json.loads(out)
    assert (code, document["ok"], document["untried_rules"]) == (1, False, ["two"])
    assert [case["passed"] for case in document["cases"]] == [True, True]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: test\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_new_policy_of_the_library_is_ready_to_test(run: Run, project: Path) -> None:
    code, out, _ = run("new")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()][-1] == "payments"
    assert run("new", "payments")[:2] == (0, "policies/catalog/payments.yaml\n")
    assert run("test", "--strict")[0] == 0
    code, _, err = run("new", "payments")
    assert (code, "exists already" in err) == (1, True)


def test_new_policy_beside_another_one_of_the_same_names_says_so(run: Run, project: Path) -> None:
    assert "does not fit" not in run("new", "payments", "--folder", "apart")[2]
    shutil.copytree(CATALOG, project / "policies" / "catalog")
    code, out, err = run("new", "payments")
    assert (code, out) == (0, "policies/catalog/payments.yaml\n")
    assert "does not fit beside what is in policies/catalog yet" in err
    assert run("check")[0] == 1


def test_template_is_rendered_per_environment_and_compared(run: Run, project: Path) -> None:
    assert run("new", "admin-console", "--template", "--folder", "templates")[0] == 0
    render = ("render", "templates/admin-console.yaml.j2", "--environment", "prod", "--out", "admin.yaml")
    assert run(*render)[0] == 0
    assert run("check", "admin.yaml")[0] == 0
    assert run(*render, "--check")[0] == 0
    text = (project / "admin.yaml").read_text()
    assert text.endswith("# Rendered from admin-console.yaml.j2 for prod: change the template, not this file.\n")
    (project / "admin.yaml").write_text(text.replace("30m", "8h"))
    code, out, _ = run(*render, "--check", "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)


def test_render_of_a_library_policy_goes_to_standard_output(run: Run) -> None:
    code, out, err = run("render", "break-glass", "--environment", "dev")
    assert (code, err) == (0, "")
    assert out.startswith("# Emergency access.")
    code, _, err = run("render", "break-glass", "--environment", "test")
    assert (code, err) == (1, "keyrung: there are no parameters for 'test': use one of dev, prod.\n")


def test_mistake_in_a_template_is_told_at_its_line(run: Run, project: Path) -> None:
    run("new", "payments", "--template", "--folder", ".")
    file = project / "payments.yaml.j2"
    file.write_text(file.read_text().replace("level: phr, max_age", "level: other, max_age", 1))
    line_number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if "level: other," in line)
    code, out, err = run("render", "payments.yaml.j2", "--environment", "dev")
    assert (code, out) == (1, "")
    assert err.startswith(f"payments.yaml.j2:{line_number}:22: unknown-level: the level other is not declared")


def test_schema_goes_to_standard_output_or_to_a_file(run: Run, project: Path) -> None:
    code, out, _ = run("schema")
    assert (code, json.loads(out)["title"]) == (0, "Keyrung policy")
    code, told, _ = run("schema", "--out", "policy.schema.json")
    assert (code, json.loads((project / "policy.schema.json").read_text())) == (0, json.loads(out))
    assert told == "policy.schema.json: begin policy files with `# yaml-language-server: $schema=policy.schema.json`\n"
