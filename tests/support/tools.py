"""The real programs the tests run against: a missing one fails in CI and skips, with its reason, on a laptop."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from keyrung_infra.tools import ToolMissingError, Tools, tools

_T = TypeVar("_T")


def required_tools() -> Tools:
    """Return the tools that set-up recorded."""
    return _or_skip(tools)


def required_tool(choose: Callable[[Tools], Path]) -> Path:
    """Return one program that only tests use, such as ``lambda t: t.pkcs11_tool``."""
    found = required_tools()
    return _or_skip(lambda: choose(found))


def _or_skip(get: Callable[[], _T]) -> _T:
    try:
        return get()
    except ToolMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
