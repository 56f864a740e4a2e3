"""From the scheme of a URI to its back end, imported on first use: the one place that names the back ends.

A back end that is not ours is found by the entry point ``keyrung.backends`` of its distribution, named like its scheme;
`keyrung_provisioners.uri.ENTRY_POINTS` gives the grammar of its URIs. It cannot take the place of one of ours.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from keyrung_provisioners.api import KeyManager
from keyrung_provisioners.errors import BackendMissingError, InvalidSettingError

_BACKENDS = {
    "pkcs11": ("keyrung_provisioners.backends.pkcs11:Pkcs11KeyManager", "keyrung[pkcs11]"),
    "transit": ("keyrung_provisioners.backends.transit:TransitKeyManager", "keyrung[transit]"),
    "awskms": ("keyrung_provisioners.backends.aws_kms:AwsKmsKeyManager", "keyrung[aws]"),
    "software": ("keyrung_provisioners.backends.software:UnsafeSoftwareKeyManager", "keyrung"),
}
ENTRY_POINTS = "keyrung.backends"


def open_manager(scheme: str, settings: Mapping[str, str], *, root: Path) -> KeyManager:
    """Return the back end for ``scheme``.

    Args:
        scheme: The scheme of a vault or key URI.
        settings: How to reach the stores; each back end documents and takes its own, each a literal or a reference.
        root: The folder that relative paths in references start from.

    Raises:
        InvalidSettingError: If the scheme is unknown or a setting of the back end is missing.
        BackendMissingError: If the back end's library is not installed.
    """
    path, extra = _BACKENDS[scheme] if scheme in _BACKENDS else _from_elsewhere(scheme)
    module_name, _, class_name = path.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise BackendMissingError(
            f"the library behind {scheme}: is not installed", fix=f"install {extra}", scheme=scheme
        ) from error
    return cast(KeyManager, getattr(module, class_name).from_settings(settings, root=root))


def _from_elsewhere(scheme: str) -> tuple[str, str]:
    """Return where the class of a back end that is not ours stands, and the distribution that brings it."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - it costs more than all else here, for a rare case

    for found in entry_points(group=ENTRY_POINTS, name=scheme):
        return found.value, found.dist.name if found.dist is not None else found.module
    known = sorted({*_BACKENDS, *entry_points(group=ENTRY_POINTS).names})
    raise InvalidSettingError(f"no back end serves {scheme!r}", fix=f"use one of {', '.join(known)}")
