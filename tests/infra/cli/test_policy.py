"""`keyrung policy`: what each command prints for people and for programs, and how it ends."""

import json
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
