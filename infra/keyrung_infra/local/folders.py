"""Folders that only their owner can enter."""

from pathlib import Path

from keyrung_infra.errors import InfraError

_OWNER_ONLY = 0o700


def ensure_private(*folders: Path) -> None:
    """Have each folder there with mode 0700; the ones above it must exist.

    Raises:
        InfraError: If a folder can't be made.
    """
    for folder in folders:
        try:
            folder.mkdir(mode=_OWNER_ONLY, exist_ok=True)
            if folder.stat().st_mode & 0o077:
                folder.chmod(_OWNER_ONLY)
        except OSError as error:
            raise InfraError(
                f"the folder {folder} cannot be made ({error.strerror})",
                fix="make room or correct the permissions of the folder above",
            ) from error
