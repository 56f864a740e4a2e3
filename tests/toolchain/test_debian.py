"""Unpacking Debian packages without root, from a small archive that the test makes: the real apt and dpkg run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from keyrung_toolchain import debian
from keyrung_toolchain.context import Context
from keyrung_toolchain.errors import SetupError

CLOSED_PORT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A package archive in a folder, and the setting that makes apt use it and nothing else."""

    folder: Path
    configuration: Path

    def add(self, name: str, script: str, *, depends: str = "") -> Path:
        """Build a package that has one program."""
        tree = self.folder / "trees" / name
        program = tree / "usr" / "bin" / name
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        fields = ["Package: " + name, "Version: 1.0", "Architecture: all", "Maintainer: Test <test@example.com>"]
        fields += [f"Depends: {depends}"] if depends else []
        fields += ["Description: made by a test"]
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text("\n".join(fields) + "\n")
        package = self.folder / f"{name}_1.0_all.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True, capture_output=True)
        size, digest = package.stat().st_size, hashlib.sha256(package.read_bytes()).hexdigest()
        entry = [*fields, f"Filename: ./{package.name}", f"Size: {size}", f"SHA256: {digest}"]
        with (self.folder / "Packages").open("a") as index:
            index.write("\n".join(entry) + "\n\n")
        return package


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("this system has no apt")
    folder = tmp_path / "archive"
    folder.mkdir()
    return Archive(folder=folder, configuration=_configure(tmp_path, f"deb [trusted=yes] file:{folder} ./"))


def _configure(tmp_path: Path, source: str) -> Path:
    """An apt configuration with one source and no package lists."""
    sources = tmp_path / "sources.list"
    sources.write_text(source + "\n")
    for name in ("state/lists/partial", "cache/archives/partial", "nothing"):
        (tmp_path / "apt" / name).mkdir(parents=True)
    configuration = tmp_path / "apt.conf"
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": tmp_path / "apt" / "nothing",
        "Dir::State": tmp_path / "apt" / "state",
        "Dir::Cache": tmp_path / "apt" / "cache",
    }
    configuration.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return configuration


def _with(context: Context, configuration: Path) -> Context:
    return replace(context, env={**os.environ, "APT_CONFIG": str(configuration)})


@pytest.fixture
def status(tmp_path: Path) -> Path:
    """A system on which nothing is installed."""
    path = tmp_path / "status"
    path.touch()
    return path


def test_a_package_and_what_it_needs_are_unpacked_without_package_lists(
    context: Context, archive: Archive, status: Path
) -> None:
    archive.add("keyrung-helper", "echo helped")
    archive.add("keyrung-witness", "echo seen", depends="keyrung-helper")

    root = debian.unpack(_with(context, archive.configuration), ["keyrung-witness"], status=status)

    said = subprocess.run([root / "usr" / "bin" / "keyrung-witness"], capture_output=True, text=True)
    assert said.stdout == "seen\n"
    assert json.loads((root / debian.RECORD).read_text()) == {
        "packages": {"keyrung-helper": "1.0", "keyrung-witness": "1.0"}
    }
    assert sorted(path.name for path in root.iterdir()) == [debian.RECORD, "usr"]


def test_what_was_unpacked_is_used_again(context: Context, archive: Archive, status: Path) -> None:
    archive.add("keyrung-witness", "echo seen")
    first = debian.unpack(_with(context, archive.configuration), ["keyrung-witness"], status=status)
    shutil.rmtree(archive.folder)

    assert debian.unpack(_with(context, archive.configuration), ["keyrung-witness"], status=status) == first


def test_a_package_that_was_changed_is_refused_and_leaves_nothing(
    context: Context, archive: Archive, status: Path
) -> None:
    package = archive.add("keyrung-witness", "echo seen")
    data = bytearray(package.read_bytes())
    data[-1] ^= 1
    package.write_bytes(data)

    with pytest.raises(SetupError, match="apt-get failed"):
        debian.unpack(_with(context, archive.configuration), ["keyrung-witness"], status=status)

    assert list((context.places.cache / "debian").iterdir()) == []


def test_an_unknown_package_is_an_error_that_names_it(context: Context, archive: Archive, status: Path) -> None:
    archive.add("keyrung-witness", "echo seen")

    with pytest.raises(SetupError, match="keyrung-nothing"):
        debian.unpack(_with(context, archive.configuration), ["keyrung-nothing"], status=status)


def test_an_archive_that_is_not_there_is_given_up_in_time(context: Context, status: Path, tmp_path: Path) -> None:
    configuration = _configure(tmp_path, f"deb [trusted=yes] http://127.0.0.1:{CLOSED_PORT}/archive ./")
    start_seconds = time.monotonic()

    with pytest.raises(SetupError):
        debian.unpack(_with(context, configuration), ["keyrung-witness"], status=status)

    assert time.monotonic() - start_seconds < 10


def test_a_system_without_apt_says_so(context: Context) -> None:
    with pytest.raises(SetupError, match="no apt-get"):
        debian.provide(replace(context, env={"PATH": "/nothing"}), ["keyrung-witness"])
