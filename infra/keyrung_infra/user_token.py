"""A person's own PKCS#11 token: a key pair generated on it in advance, and signatures by it later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import cast

from keyrung_provisioners import encoding
from keyrung_provisioners.api import AttributeValue, KeyManager, KeySpec, Purpose, Signing
from keyrung_provisioners.checks import describe_or_none
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.provision import CLAIM_ID_BYTES
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri, VaultUri

_KEY_NAME = "step-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserKey:
    """The step-up key on a person's token.

    Attributes:
        evidence: The protective attributes as the token reported them; `hardware` says whether its slot is hardware.
        token: The token that holds it, to prove that with a signature.
    """

    uri: str
    public_jwk: Mapping[str, str]
    evidence: Mapping[str, AttributeValue]
    token: "UserToken" = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserToken:
    """A token that is plugged in, with the PIN that its owner gave."""

    uri: KeyUri
    manager: KeyManager = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """Return the signature over ``data`` by the step-up key, in JOSE form."""
        return cast(Signing, self.manager).sign(self.uri, data)


def open_user_token(label: str, settings: Mapping[str, str], *, root: Path) -> UserToken:
    """Return the token ``label``; ``settings`` are those of the PKCS#11 back end."""
    return UserToken(uri=VaultUri("pkcs11", label).key(_KEY_NAME), manager=open_manager("pkcs11", settings, root=root))


def provision_user_key(label: str, settings: Mapping[str, str], *, root: Path, allow_software: bool = False) -> UserKey:
    """Generate the step-up key on the token ``label``, or return the one it has; the private half never leaves it.

    Args:
        label: The token's label.
        settings: Those of the PKCS#11 back end.
        root: Where relative paths start.
        allow_software: Take a token too whose slot does not say that it is hardware; the evidence then says so.

    Raises:
        KeyRefusedError: If the token is software, or the key on it is weaker than one generated there.
    """
    token = open_user_token(label, settings, root=root)
    if not allow_software and token.manager.describe_vault(token.uri.vault_uri).attributes.get("hardware") is not True:
        raise KeyRefusedError(
            f"the token '{label}' does not say that it is hardware",
            fix="use a hardware token, or say --allow-software if a key in software will do",
        )
    # The same id each time, so that half a pair left by a crash is known as ours and replaced.
    claim_id = sha256(str(token.uri).encode()).digest()[:CLAIM_ID_BYTES]
    spec = KeySpec(uri=token.uri, algorithm="P-256", purpose=Purpose.USER_CREDENTIAL, claim_id=claim_id)
    found = describe_or_none(token.manager, token.uri) or token.manager.create(spec)
    weak = token.manager.deviations(spec, found)
    if weak or found.public_key_pem is None:
        raise KeyRefusedError(
            f"the key {token.uri} falls short in {', '.join(weak)}", fix="remove it and add the credential again"
        )
    return UserKey(
        uri=str(token.uri), public_jwk=encoding.public_jwk(found.public_key_pem), evidence=found.attributes, token=token
    )
