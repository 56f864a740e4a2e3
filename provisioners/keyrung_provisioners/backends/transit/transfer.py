"""Keys that enter Transit wrapped to its own key ("bring your own key"), and keys that leave it wrapped to another's.

Both use the layout of CKM_RSA_AES_KEY_WRAP. Only Transit itself opens and makes it: no plaintext is ever here.
"""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keyrung_provisioners.algorithms import Algorithm
from keyrung_provisioners.api import ImportOffer, KeySpec
from keyrung_provisioners.backends.transit import versions
from keyrung_provisioners.backends.transit.server import FailedError, Server
from keyrung_provisioners.errors import InvalidSettingError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri

_HASHES = {"SHA-1": "SHA1", "SHA-256": "SHA256"}
_RSA_TYPES = {3072: "rsa-3072", 4096: "rsa-4096"}


def offer(server: Server, uri: KeyUri, *, hash_name: str) -> ImportOffer:
    """Return the wrapping key of the mount that ``uri`` is in."""
    _hash(hash_name)
    pem = server.ask(
        "read the wrapping key for",
        lambda client: client.adapter.get(url=f"/v1/{uri.vault}/wrapping_key"),
        lambda data: str(data["public_key"]),
        what=str(uri),
    )
    return ImportOffer(public_key_pem=pem, hash_name=hash_name)


def receive(server: Server, spec: KeySpec, row: Algorithm, made_offer: ImportOffer, wrapped: bytes) -> None:
    """Import the key as the version that ``spec`` names: unable to leave again, or to be rotated."""
    uri = spec.uri
    body: dict[str, object] = {
        "ciphertext": base64.b64encode(wrapped).decode("ascii"),
        "hash_function": _hash(made_offer.hash_name),
    }
    try:
        versions.refuse_taken(server, uri, row)
        suffix = "/import_version"
    except KeyMissingError:
        if uri.version != 1:
            raise KeyRefusedError(
                f"{uri} cannot be imported: Transit numbers what it imports from 1",
                fix="choose another name, without a version",
                uri=str(uri),
            ) from None
        suffix = "/import"
        fixed = {"exportable": False, "allow_plaintext_backup": False, "allow_rotation": False}
        body |= {"type": row.transit, **fixed}
    try:
        versions.post(server, "import", uri, suffix, **body)
    except (FailedError, KeyRefusedError) as error:
        raise KeyRefusedError(
            f"Transit did not open the key that was wrapped for {uri}",
            fix="check that it is of the declared algorithm and was wrapped to this mount's wrapping key",
            uri=str(uri),
        ) from error


def export(server: Server, uri: KeyUri, given: ImportOffer) -> bytes:
    """Return the version that ``uri`` names, wrapped inside Transit; only a key made exportable leaves."""
    hash_function = _hash(given.hash_name)
    with _destination(server, uri.vault, given) as destination:
        return server.ask(
            "export",
            lambda client: client.adapter.get(
                url=f"/v1/{uri.vault}/byok-export/{destination}/{uri.name}/{uri.version}",
                params={"hash": hash_function},
            ),
            lambda data: _exported(data, uri),
            what=str(uri),
        )


def _exported(data: Mapping[str, Any], uri: KeyUri) -> bytes:
    return base64.b64decode(data["keys"][str(uri.version)], validate=True)


@contextmanager
def _destination(server: Server, mount: str, given: ImportOffer) -> Iterator[str]:
    """Give the name under which the other store's public key stands in the mount, for this once.

    Transit wraps only to a key of its own. Nobody knows the name before, so nobody can put another key there.
    """
    there = KeyUri("transit", mount, f"keyrung-export-{token_hex(16)}")
    versions.post(
        server, "import", there, "/import", type=_rsa_type(given.public_key_pem), public_key=given.public_key_pem
    )
    try:
        yield there.name
    finally:
        versions.delete(server, there)


def _rsa_type(pem: str) -> str:
    try:
        key = load_pem_public_key(pem.encode("ascii"))
    except ValueError:
        key = None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in _RSA_TYPES:
        sizes = ", ".join(str(bits) for bits in _RSA_TYPES)
        raise InvalidSettingError(
            "what the other store offers is no RSA key for Transit", fix=f"use one of {sizes} bits"
        )
    return _RSA_TYPES[key.key_size]


def _hash(name: str) -> str:
    if name not in _HASHES:
        raise InvalidSettingError(f"keys do not travel by RSA-OAEP with {name!r}", fix=f"use {' or '.join(_HASHES)}")
    return _HASHES[name]
