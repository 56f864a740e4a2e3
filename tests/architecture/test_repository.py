"""What every file of the repository must be free of, and what its documents promise."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Built from parts, so that this file does not contain what it looks for.
MACHINE_PATHS = [f"/{name}/" for name in ("work", "root", "home", "Users")]
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
    )
]

KEYRUNG_COMMAND = r"(?:^|[`\s/(])keyrung ([a-z]+(?: (?:up|down|status|env|verify|add|list|revoke)\b)?)"


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("needle", [*MACHINE_PATHS, *REGISTRY_HOSTS])
def test_no_file_names_a_machine_path_or_a_registry_host(needle: str) -> None:
    pattern = re.compile(rb"(?<![\w.-])" + re.escape(needle.encode()))
    found = [str(path.relative_to(ROOT)) for path in tracked_files() if pattern.search(path.read_bytes())]

    assert found == []


def test_the_top_level_holds_only_what_belongs_there() -> None:
    allowed = {"pyproject.toml", "README.md", "infra", "provisioners", "policies", "tests", "Pulumi.yaml", ".github"}
    allowed |= {"LICENSE", "Makefile"}
    top = {path.relative_to(ROOT).parts[0] for path in tracked_files()}

    assert {name for name in top if name not in allowed and not name.startswith(".")} == set()


def test_every_make_target_that_a_document_names_exists() -> None:
    documents = [ROOT / "README.md", *(ROOT / ".github").rglob("*.md"), ROOT / ".ci" / "run"]
    documents += (ROOT / ".github").rglob("*.yml")
    named = {
        target
        for path in documents
        for target in re.findall(r"(?:`|run: |^|\$ )make ([a-z][\w-]*)", path.read_text(), re.M)
    }

    assert named
    assert named <= make_targets()


@pytest.mark.parametrize(
    "target", ["setup", "demo", "test", "check", "bench", "mutation", "clean", "clean-cache", "lock"]
)
def test_make_knows_how_to_run_a_target(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_every_keyrung_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(KEYRUNG_COMMAND, code_of("README.md")))

    for words in sorted(named):
        done = subprocess.run(
            [ROOT / ".venv" / "bin" / "keyrung", *words.split(), "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, f"keyrung {words}: {done.stderr}"


def test_the_lock_pins_what_the_project_asks_for() -> None:
    lock = (ROOT / "infra" / "toolchain" / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *project["dependency-groups"]["dev"],
    ]
    names = {re.split(r"[<>=\[]", line)[0].lower() for line in asked}
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, re.MULTILINE))

    assert names <= set(pinned)
    assert not re.search(r"https?://", lock)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def code_of(name: str) -> str:
    """What a document shows in code blocks and between backquotes."""
    text = (ROOT / name).read_text()
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


def test_workflows_pin_actions_by_hash_and_grant_no_permission_by_default() -> None:
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

    assert workflows
    for path in workflows:
        text = path.read_text()
        used = re.findall(r"uses: *(\S+)", text)
        assert [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []
        assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
