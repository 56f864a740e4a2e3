"""A disk that fails to sync, or does not: a library put before libc, with an `fsync` and `fdatasync` of its own."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

_SOURCE = r"""
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int broken(void) {
    const char *path = getenv("KEYRUNG_TEST_SYNC_FAILS_WHILE");
    if (path == NULL || access(path, F_OK) != 0) return 0;
    errno = EIO;
    return 1;
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (getenv("KEYRUNG_TEST_SYNC_SKIPPED") != NULL) return 0;
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    return broken() ? -1 : real(descriptor);
}

int fdatasync(int descriptor) {
    static int (*real)(int);
    if (getenv("KEYRUNG_TEST_SYNC_SKIPPED") != NULL) return 0;
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    return broken() ? -1 : real(descriptor);
}
"""


def failing_sync(folder: Path, switch: Path) -> Mapping[str, str]:
    """Return the environment of a process whose disk fails to sync as long as the file ``switch`` exists."""
    return {**os.environ, "LD_PRELOAD": _library(folder), "KEYRUNG_TEST_SYNC_FAILS_WHILE": str(switch)}


def skipped_sync(folder: Path) -> Mapping[str, str]:
    """Return what to add to the environment of a process for which nothing is synced: only to see what a sync costs."""
    return {"LD_PRELOAD": _library(folder), "KEYRUNG_TEST_SYNC_SKIPPED": "1"}


def _library(folder: Path) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a C compiler for this test")
        pytest.skip("there is no C compiler")
    source, library = folder / "disk_sync.c", folder / "disk_sync.so"
    source.write_text(_SOURCE)
    options = ["-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run([compiler, *options], check=True)
    return str(library)
