"""Real stores as the back ends reach them, a token that may do more, and a check that is not ours."""

import secrets
from pathlib import Path
from typing import Protocol, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from support.openbao import OpenBaoServer
from support.softhsm import SoftHsmToken

from keyrung_infra.local.layout import TRANSIT_MOUNT
from keyrung_provisioners.api import (
    Exporting,
    Importing,
    KeyManager,
    KeySpec,
    Purpose,
    Receiving,
    Rotating,
    Sealing,
    Signing,
    Wrapping,
)
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

_ALL_KEYS = """
path "{mount}/*" {{ capabilities = ["read", "update", "delete", "list"] }}
path "sys/mounts/{mount}" {{ capabilities = ["read", "update", "delete"] }}
"""


class SigningManager(KeyManager, Signing, Protocol):
    """A back end that signs."""


class SealingManager(KeyManager, Sealing, Protocol):
    """A back end that seals."""


class RotatingManager(SealingManager, Rotating, Protocol):
    """A back end that renews its sealing keys."""


class EscrowingManager(KeyManager, Signing, Sealing, Wrapping, Importing, Protocol):
    """A back end whose keys can leave it wrapped and come back."""


class ExportingManager(SigningManager, Exporting, Protocol):
    """A back end whose portable keys leave it for another store."""


class ReceivingManager(SigningManager, Receiving, Protocol):
    """A back end that takes keys of other stores in."""


class TokenManager(EscrowingManager, Exporting, Protocol):
    """What the PKCS#11 back end offers, as one type."""


class VaultManager(RotatingManager, SigningManager, Exporting, Receiving, Protocol):
    """What the Transit back end offers, as one type."""


def token_manager(token: SoftHsmToken) -> TokenManager:
    """Return a new back end over ``token``."""
    return cast(TokenManager, open_manager("pkcs11", token.settings(), root=token.layout.folder))


def vault_manager(settings: dict[str, str]) -> VaultManager:
    """Return a new back end over the server that ``settings`` name."""
    return cast(VaultManager, open_manager("transit", settings, root=Path("/")))


def broad_settings(server: OpenBaoServer, folder: Path) -> dict[str, str]:
    """Return settings with a token that may do everything with the keys of the mount, which no single role may."""
    with server.root() as root:
        root.call("PUT", "sys/policies/acl/all-keys", {"policy": _ALL_KEYS.format(mount=TRANSIT_MOUNT)})
        made = root.call("POST", "auth/token/create-orphan", {"policies": ["all-keys"], "no_default_policy": True})
    path = folder / "broad-token"
    path.write_text(made["auth"]["client_token"])
    return server.settings("deployer") | {"transitToken": f"file:{path}"}


def spec(uri: KeyUri, *, algorithm: str = "P-256", purpose: Purpose = Purpose.POLICY_SIGNING) -> KeySpec:
    """Return a declaration with a claim id of its own."""
    return KeySpec(uri=uri, algorithm=algorithm, purpose=purpose, claim_id=secrets.token_bytes(16))


def verifies(public_key_pem: str | None, data: bytes, signature: bytes) -> bool:
    """Return what `cryptography` says of an ES256 signature in JOSE form."""
    key = load_pem_public_key((public_key_pem or "").encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert len(signature) == 64
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, data, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
