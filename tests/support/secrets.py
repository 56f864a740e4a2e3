"""A search for secrets as they could leak: as they are, or in any of the usual encodings."""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from keyrung_infra.local.layout import ROLES, Layout

_SHORTEST_BYTES = 8  # anything shorter would be found by chance


def secrets_of(layout: Layout) -> dict[str, bytes]:
    """Return every secret of a local stack by the name of its file; the passphrase of the local target is public."""
    openbao, softhsm = layout.openbao, layout.softhsm
    files = (
        softhsm.pin,
        softhsm.so_pin,
        *(openbao.token(role) for role in ROLES),
        openbao.ca_key,
        openbao.certificate_key,
        layout.verifier_certificate_key,
        layout.sample_client_secret,
    )
    found = {str(path.relative_to(layout.state)): path.read_bytes().strip() for path in files}
    unseal: list[str] = json.loads(openbao.unseal.read_bytes())["keys_base64"]
    return found | {f"unseal key {n}": base64.b64decode(text) for n, text in enumerate(unseal)}


def leaks(secrets: Mapping[str, bytes], places: Mapping[str, bytes]) -> list[str]:
    """Return where a secret of ``secrets`` stands in ``places``, raw, in hex, base64 or base64url."""
    return [
        f"{name} ({encoding}) in {place}"
        for name, secret in secrets.items()
        for encoding, needle in _encodings(secret)
        for place, data in places.items()
        if needle in data
    ]


def holders(secrets: Mapping[str, bytes], places: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Return for each secret the places where it stands, in whatever encoding."""
    return {
        name: {place for _, needle in _encodings(secret) for place, data in places.items() if needle in data}
        for name, secret in secrets.items()
    }


def files(*roots: Path) -> dict[str, bytes]:
    """Return the contents of every file at or below ``roots``."""
    paths = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*")))]
    return {str(path): path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()}


def _encodings(secret: bytes) -> Iterable[tuple[str, bytes]]:
    if len(secret) < _SHORTEST_BYTES:
        raise ValueError("a secret is too short to search for")
    yield "raw", secret
    yield "hex", secret.hex().encode()
    yield "hex, upper case", secret.hex().upper().encode()
    # Inside a longer text a secret starts at any of three places of a base64 group; what its neighbours share is cut.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret)
        inner = encoded[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]
        yield "base64", inner
        yield "base64url", inner.translate(bytes.maketrans(b"+/", b"-_"))
