"""Signing a policy bundle with a provisioned key, and reading the public keys that bundles are checked with."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import cast

from keyrung_infra.errors import InfraError
from keyrung_policies.bundle import open_bundle, sign_bundle
from keyrung_policies.canonical import canonical_bytes
from keyrung_policies.errors import PolicyError
from keyrung_provisioners import encoding
from keyrung_provisioners.api import Capability, KeyManager, Signing
from keyrung_provisioners.errors import ProvisionerError
from keyrung_provisioners.uri import KeyUri

MAX_KEY_BYTES = 16 * 1024  # a JWK or PEM text is a few hundred bytes


def signed_bundle(payload: bytes, *, uri: KeyUri, pem: str, manager: KeyManager, now: datetime) -> bytes:
    """Return the signed bundle, opened once as the verifier will: a key other than the declared one shows here.

    Raises:
        InfraError: The store cannot sign, or signed with another key than the one in ``pem``.
    """
    if Capability.SIGNING not in manager.capabilities:
        raise InfraError(f"{uri} cannot sign", fix="use a key with purpose policy-signing", uri=str(uri))
    signing = cast(Signing, manager)
    jwk, key_id = encoding.public_jwk(pem), encoding.thumbprint(pem)
    bundle = sign_bundle(
        payload,
        key_id=key_id,
        algorithm=encoding.public_algorithm(pem).jwa or "",
        sign=lambda data: signing.sign(uri, data),
    )
    try:
        open_bundle(bundle, trusted_keys={key_id: jwk}, now=now)
    except PolicyError as error:
        raise InfraError(
            f"the signature made by {uri} does not verify under its declared public key {key_id}",
            fix="run `pulumi refresh` to see which key stands there now",
            uri=str(uri),
        ) from error
    return bundle


def read_trusted_key(path: Path) -> tuple[str, dict[str, str]]:
    """Return the RFC 7638 thumbprint and the JWK of a public key in a file (PEM or JWK).

    Raises:
        InfraError: The file holds neither.
    """
    with path.open("rb") as file:
        data = file.read(MAX_KEY_BYTES)
    try:
        text = data.decode("ascii")
        if text.lstrip().startswith("-----BEGIN"):
            return encoding.thumbprint(text), encoding.public_jwk(text)
        jwk = {name: value for name, value in json.loads(text).items() if isinstance(value, str)}
        # RFC 7638 section 3.2: exactly the members that every key of this type must have.
        required = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
        return encoding.base64url(hashlib.sha256(canonical_bytes(required)).digest()), jwk
    except (ValueError, AttributeError, ProvisionerError) as error:
        raise InfraError(f"{path} holds no public key", fix="give one as PEM or as JWK") from error
