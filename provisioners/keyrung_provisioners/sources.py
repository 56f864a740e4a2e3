"""Settings that may be references, so that a PIN or token never stands in configuration, state or logs.

A setting is a literal, ``file:PATH`` (the file's text without its last line break; a relative path is relative to the
project root) or ``env:NAME``. Secrets must be references.
"""

import os
from pathlib import Path

from keyrung_provisioners.errors import InvalidSettingError

_MAX_REFERENCE_BYTES = 8192  # a token, PIN or path is far smaller; a wrong file is refused instead of read whole


def resolve(text: str, *, root: Path, secret: bool = False) -> str:
    """Return the value that ``text`` stands for.

    Args:
        text: ``file:PATH``, ``env:NAME`` or, unless ``secret``, a literal.
        root: The folder that relative paths start from.
        secret: Whether the value must not be written down in the setting itself.

    Raises:
        InvalidSettingError: If the reference is unreadable or empty, or a secret is a literal.
    """
    kind, separator, rest = text.partition(":")
    if separator and kind == "file":
        return _read(root / rest, text)
    if separator and kind == "env":
        value = os.environ.get(rest, "")
        if not value:
            raise InvalidSettingError(f"the environment variable {rest} is not set", fix="export it", source=text)
        return value
    if secret:
        raise InvalidSettingError("a secret is written out in a setting", fix="refer to it as file:PATH or env:NAME")
    if not text:
        raise InvalidSettingError("a setting is empty", fix="give a value, file:PATH or env:NAME")
    return text


def _read(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_REFERENCE_BYTES + 1)
        value = data.decode("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettingError(
            f"{source} cannot be read",
            fix="check the path and its permissions (locally: keyrung dev up)",
            source=source,
        ) from error
    if not value or len(data) > _MAX_REFERENCE_BYTES:
        raise InvalidSettingError(f"{source} is empty or too long", fix="write the value on one line", source=source)
    return value
