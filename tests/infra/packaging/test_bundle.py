"""The Lambda zip: the same bytes each time, for the right machine, with nothing in it that does not belong."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.lambda_emulator import running_architecture

from keyrung_infra.cli.main import run
from keyrung_infra.errors import InfraError
from keyrung_infra.packaging import bundle
from keyrung_infra.packaging.bundle import Architecture, Bundle, build_bundle

# Half as much again as it is today; a package that slips in shows here.
MAX_BYTES = 9 * 1024 * 1024


@pytest.fixture(scope="module", params=Architecture)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Architecture, Bundle]:
    out = tmp_path_factory.mktemp("bundle") / "verifier.zip"
    return request.param, build_bundle(architecture=request.param, out=out)


def test_building_again_gives_the_same_bytes(built: tuple[Architecture, Bundle], tmp_path: Path) -> None:
    architecture, made = built

    again = build_bundle(architecture=architecture, out=tmp_path / "again.zip")

    assert again.path.read_bytes() == made.path.read_bytes()
    assert again.code_sha256 == made.code_sha256


def test_it_holds_the_handlers_and_four_packages_and_nothing_else(built: tuple[Architecture, Bundle]) -> None:
    names = zipfile.ZipFile(built[1].path).namelist()

    tops = {name.split("/")[0] for name in names if "dist-info" not in name and "_cffi_backend" not in name}
    assert tops == {"cffi", "cryptography", "keyrung_policies", "keyrung_verifier", "msgspec", "pyotp"}
    assert "keyrung_verifier/handler.py" in names
    assert not [name for name in names if "/guard/" in name or "sqlite" in name or name.endswith(".pyi")]
    assert names == sorted(names)
    assert len({name for name in names if name.endswith("dist-info/METADATA")}) == 4


def test_no_entry_says_when_or_by_whom_it_was_made(built: tuple[Architecture, Bundle]) -> None:
    for entry in zipfile.ZipFile(built[1].path).infolist():
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert entry.external_attr >> 16 == 0o100644


def test_every_library_is_for_the_machine_that_was_asked_for(built: tuple[Architecture, Bundle]) -> None:
    architecture, made = built
    archive = zipfile.ZipFile(made.path)
    libraries = [name for name in archive.namelist() if ".so" in name]

    assert len(libraries) == 3
    for name in libraries:
        header = archive.read(name)[:20]
        assert header[:5] == b"\x7fELF\x02"
        assert int.from_bytes(header[18:20], "little") == {"arm64": 183, "x86_64": 62}[architecture]


def test_it_is_small(built: tuple[Architecture, Bundle]) -> None:
    assert built[1].size_bytes == built[1].path.stat().st_size < MAX_BYTES


def test_a_library_for_another_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundle._PLATFORMS, Architecture.ARM64, "x86_64-manylinux_2_28")

    with pytest.raises(InfraError, match="is not for arm64"):
        build_bundle(architecture=Architecture.ARM64, out=tmp_path / "verifier.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_changed_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "bundle.lock"
    lock.write_text("pyotp==2.12.1 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setattr(bundle, "LOCK", lock)

    with pytest.raises(InfraError, match="cannot be installed"):
        build_bundle(architecture=Architecture.ARM64, out=tmp_path / "verifier.zip")


def test_the_lock_of_the_bundle_agrees_with_what_is_tested() -> None:
    def pins(path: Path) -> set[str]:
        return {line.split(" ")[0] for line in path.read_text().splitlines() if "==" in line and line[0] not in "# "}

    ours = pins(bundle.LOCK)

    assert {pin.split("==")[0] for pin in ours} == {"cffi", "cryptography", "msgspec", "pyotp"}
    assert ours <= pins(Path(__file__).parents[3] / "infra" / "toolchain" / "requirements.lock")


@pytest.fixture(scope="module")
def runnable(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle for the Python that runs the tests."""
    return _for_this_python(tmp_path_factory.mktemp("runnable") / "verifier.zip")


def _for_this_python(out: Path) -> Bundle:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return build_bundle(architecture=running_architecture(), out=out, python_version=version)


def test_bytecode_goes_with_every_source_of_a_python_that_is_here(runnable: Bundle, tmp_path: Path) -> None:
    names = zipfile.ZipFile(runnable.path).namelist()
    sources = [Path(name) for name in names if name.endswith(".py")]

    assert runnable.compiled
    tag = sys.implementation.cache_tag
    assert {str(source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc") for source in sources} <= set(names)
    assert _for_this_python(tmp_path / "again.zip").code_sha256 == runnable.code_sha256


def test_bytecode_is_used_without_a_look_at_the_source(runnable: Bundle, tmp_path: Path) -> None:
    zipfile.ZipFile(runnable.path).extractall(tmp_path)
    (tmp_path / "keyrung_verifier" / "paths.py").write_text("raise SystemExit('compiled anew')")

    program = "import keyrung_verifier.paths as paths; print(paths.EVALUATION)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}"],
        capture_output=True,
        text=True,
    )

    assert done.stdout == "/access/v1/evaluation\n", done.stderr


def test_without_a_python_of_that_version_the_sources_go_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundle, "_interpreter", lambda _version: None)

    assert run(["bundle", "build", "--out", str(tmp_path / "verifier.zip")]) == 0

    assert "each cold start does it" in capsys.readouterr().out
    assert not [name for name in zipfile.ZipFile(tmp_path / "verifier.zip").namelist() if name.endswith(".pyc")]


def test_what_is_in_it_runs_by_itself(runnable: Bundle, tmp_path: Path) -> None:
    made = runnable
    zipfile.ZipFile(made.path).extractall(tmp_path / "task")

    program = "import keyrung_verifier.handler as h, cryptography; print(h.__file__, cryptography.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'task')!r}); {program}"],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(tmp_path)) == 2


def test_the_command_says_what_it_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "verifier.zip"

    assert run(["bundle", "build", "--architecture", "x86_64", "--out", str(out), "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["size_bytes"] == out.stat().st_size
    assert len(said["code_sha256"]) == 44
