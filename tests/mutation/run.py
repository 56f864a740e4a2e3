"""Changes the verifier's code in small ways and counts how many of the changes the tests notice: `make mutation`.

mutmut names a module by its path, so it runs in a folder of its own in which the path and the import name agree.
What is mutated and which tests run is said in `[tool.mutmut]` of pyproject.toml.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".mutation"
# The least share of changes that the tests must notice.
MINIMUM_KILLED = 0.90
# What mutmut notes of a change under which all tests passed.
SURVIVED = 0
# Each change is a start of pytest of its own, which takes a third of the time without plugins that no chosen test uses.
LIGHT_PYTEST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p no:unraisableexception"}
# Where each part stands in the project, and where in the folder.
PARTS = {
    "infra/keyrung_verifier": "src/keyrung_verifier",
    "policies/catalog": "policies/catalog",
    "tests": "tests",
    "pyproject.toml": "pyproject.toml",
}


def main() -> int:
    """Run every change that is new or was not noticed the last time; return 0 when enough of all were noticed."""
    prepare()
    forget_unnoticed()
    mutmut = Path(sys.executable).parent / "mutmut"
    done = subprocess.run([mutmut, "run"], cwd=FOLDER, env=os.environ | LIGHT_PYTEST)
    if done.returncode != 0:
        return done.returncode
    subprocess.run([mutmut, "export-cicd-stats"], cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)
    counts = json.loads((FOLDER / "mutants" / "mutmut-cicd-stats.json").read_text())
    killed, total = counts["killed"] + counts["timeout"], counts["total"]
    subprocess.run([mutmut, "results"], cwd=FOLDER, check=True)
    print(f"{killed} of {total} changes were noticed ({killed / total:.1%}; at least {MINIMUM_KILLED:.0%} must be)")
    return 0 if killed >= MINIMUM_KILLED * total else 1


def prepare() -> None:
    """Bring the folder up to date; what did not change keeps its time, so that its results stay."""
    for source, target in PARTS.items():
        place = FOLDER / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            _mirror(ROOT / source, place)
        else:
            shutil.copy2(ROOT / source, place)


def forget_unnoticed() -> None:
    """Have mutmut try again what no test noticed, which it would take for settled though a test was added."""
    for path in (FOLDER / "mutants").rglob("*.meta"):
        found = json.loads(path.read_text())
        results = found["exit_code_by_key"]
        found["exit_code_by_key"] = {name: None if code == SURVIVED else code for name, code in results.items()}
        path.write_text(json.dumps(found))


def _mirror(source: Path, target: Path) -> None:
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    for path in [path for path in target.rglob("*") if path.is_file()]:
        if path.relative_to(target) not in wanted:
            path.unlink()
    for name in wanted:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)


if __name__ == "__main__":
    sys.exit(main())
