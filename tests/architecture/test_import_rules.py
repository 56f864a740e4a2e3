"""The import rules of the house: contracts between packages, and what light code must never load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = (ROOT / "infra", ROOT / "provisioners", ROOT / "policies")

HEAVY = frozenset(
    ["pulumi", "boto3", "hvac", "pkcs11", "jinja2", "pydantic", "z3", "yaml", "click", "rich", "starlette", "httpx"]
)

LIGHT = [
    ("keyrung_verifier.service", HEAVY),
    ("keyrung_verifier.handler", HEAVY | {"asyncio", "sqlite3", "uvicorn"}),
    ("keyrung_verifier.aws.archiver", HEAVY | {"asyncio", "sqlite3", "uvicorn"}),
    ("keyrung_verifier.guard.aws_lambda", HEAVY),
    ("keyrung_verifier.aws.kms", HEAVY),
    ("keyrung_verifier.aws.s3", HEAVY),
    ("keyrung_verifier.store.dynamodb", HEAVY),
    ("keyrung_policies.evaluate", {"yaml"}),
    ("keyrung_policies.bundle", {"yaml"}),
    ("keyrung_policies.model", {"yaml"}),
    ("keyrung_infra.cli.main", {"pulumi", "yaml", "starlette", "httpx", "hvac", "pkcs11", "rich"}),
]


def test_the_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("module", "forbidden"), LIGHT, ids=[module for module, _ in LIGHT])
def test_importing_loads_nothing_heavy(module: str, forbidden: set[str]) -> None:
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert forbidden.isdisjoint(name.partition(".")[0] for name in json.loads(done.stdout))


def test_the_guard_imports_nothing_of_the_verifier_but_what_it_checks_and_sends_with() -> None:
    guard = ROOT / "infra" / "keyrung_verifier" / "guard"
    ours = {name for path in guard.glob("*.py") for name in _imports(path) if name.startswith("keyrung_")}

    assert {name for name in ours if not name.startswith("keyrung_verifier.guard")} == {
        "keyrung_verifier.assertion",
        "keyrung_verifier.dpop",
        "keyrung_verifier.timed_connection",
        "keyrung_policies.jws",
        "keyrung_policies.satisfaction",  # pure, and the one place that judges a step-up made before
    }


@pytest.mark.parametrize("path", sorted(p for root in SOURCE_ROOTS for p in root.glob("keyrung_*/errors.py")), ids=str)
def test_errors_import_nothing_of_ours(path: Path) -> None:
    assert [name for name in _imports(path) if name.startswith("keyrung_")] == []


def test_set_up_needs_only_the_standard_library() -> None:
    folder = ROOT / "infra" / "toolchain" / "keyrung_toolchain"
    names = {name.partition(".")[0] for path in folder.glob("*.py") for name in _imports(path)}

    assert names <= sys.stdlib_module_names | {"keyrung_toolchain"}


def _imports(path: Path) -> list[str]:
    """The modules that `path` imports by their whole name; `from package import module` counts as the module."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            package = "." not in node.module and node.module.startswith("keyrung_")
            names += [f"{node.module}.{alias.name}" for alias in node.names] if package else [node.module]
    return names
