"""Files that are either there whole or not at all, and readable by their owner only."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from keyrung_infra.errors import InfraError


def write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` in one step, mode 0600, durable when this returns.

    Raises:
        InfraError: If the disk is full or the folder is not writable; the old file is then still there.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise InfraError(
            f"{path} cannot be written ({error.strerror})", fix="make room or correct the folder's permissions"
        ) from error
