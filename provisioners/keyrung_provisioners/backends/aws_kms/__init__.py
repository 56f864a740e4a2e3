"""Keys in AWS KMS.

URI: ``awskms:region=REGION;alias=ALIAS``. The vault is a region of the account that the credentials belong to; a key's
name is its alias without the prefix ``alias/``. Settings: ``awskmsEndpoint`` (optional: a private endpoint, https, or
http on loopback) and ``awskmsKeyPolicy`` (optional: the policy of new keys). Credentials are found by boto3's own chain
(environment, profile, role), never in our settings.

A key and its alias are made by two calls. The key carries the claim as a tag from its first moment, so an interrupted
creation is found and finished by the next one. Without a key policy KMS's default holds: the account's IAM decides.

Destroying is scheduling: KMS keeps a key for at least 7 days, in which it does nothing and an administrator can cancel.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import ALGORITHMS, Algorithm, algorithm, offered_algorithm
from keyrung_provisioners.api import (
    AttributeValue,
    Capability,
    Custody,
    ImportOffer,
    KeyDescription,
    KeySpec,
    VaultDescription,
)
from keyrung_provisioners.backends.aws_kms import importing, keys
from keyrung_provisioners.backends.aws_kms.connection import Answer, Connection
from keyrung_provisioners.errors import KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.sources import resolve
from keyrung_provisioners.uri import KeyUri, VaultUri

_MAX_PLAINTEXT_BYTES = 4096  # of Encrypt
_BY_KMS_SPEC = {row.kms: row for row in ALGORITHMS.values()}
# What DescribeKey must say of a key: made inside KMS, ours to manage, usable, in one region only.
_REQUIRED: dict[str, AttributeValue] = {
    "Origin": keys.INSIDE,
    "KeyManager": "CUSTOMER",
    "KeyState": "Enabled",
    "MultiRegion": False,
}
_CHOSEN_BY_THE_MAKER = frozenset({"Origin", "MultiRegion"})
_IMPORTED: dict[str, AttributeValue] = {"Origin": keys.EXTERNAL, "ExpirationModel": keys.FOR_GOOD}


_ALL = {**_REQUIRED, **_IMPORTED}


class AwsKmsKeyManager:
    """Keys behind aliases, in the regions of one account."""

    scheme: ClassVar[str] = "awskms"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.SIGNING, Capability.SEALING, Capability.ROTATING, Capability.RECEIVING}
    )
    algorithms: ClassVar[frozenset[str]] = frozenset({"P-256", "P-384", "Ed25519", "RSA-3072", "AES-256"})

    def __init__(
        self,
        *,
        endpoint: Callable[[], str] | None = None,
        key_policy: Callable[[], str | None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Reach KMS at ``endpoint`` instead of AWS's own address.

        ``key_policy`` gives the policy of new keys (None: KMS's default); ``sleep`` waits for what was made just now.
        """
        self._key_policy = key_policy
        self._kms = Connection(endpoint=endpoint, sleep=sleep)
        self._algorithms: dict[KeyUri, Algorithm] = {}

    @classmethod
    def from_settings(cls, settings: Mapping[str, str], *, root: Path) -> Self:
        """Build from ``awskmsEndpoint`` and ``awskmsKeyPolicy``, if they are there; nothing is contacted yet."""
        endpoint, policy = settings.get("awskmsEndpoint"), settings.get("awskmsKeyPolicy")
        return cls(
            endpoint=partial(resolve, endpoint, root=root) if endpoint else None,
            key_policy=partial(resolve, policy, root=root) if policy else lambda: None,
        )

    def ensure_vault(self, vault: VaultUri, *, owner: str) -> VaultDescription:
        """Prove that KMS answers in the region; regions are there without us."""
        return self.describe_vault(vault)

    def describe_vault(self, vault: VaultUri) -> VaultDescription:
        """Return the region and the account; every account has the aliases that AWS predefines."""

        def understand(answer: Answer) -> VaultDescription:
            arns = [str(entry["AliasArn"]) for entry in answer["Aliases"]]
            account = arns[0].split(":")[4] if arns else ""  # arn:partition:kms:region:account:alias/name
            return VaultDescription(uri=vault, created=False, attributes={"region": vault.vault, "account": account})

        return self._kms.ask("list_aliases", understand, region=vault.vault, what=str(vault), Limit=1)

    def remove_vault(self, vault: VaultUri) -> None:
        """Leave the region alone: this back end never creates one."""

    def create(self, spec: KeySpec) -> KeyDescription:
        """Make the key, or find the one that an interrupted creation left, and put the alias on it."""
        row = offered_algorithm(spec.algorithm, scheme=self.scheme, offered=self.algorithms)
        if spec.custody is not Custody.SOLE:
            raise KeyRefusedError(
                f"{spec.uri} is declared to leave its store, and a key that KMS generates never leaves it",
                fix="make it in a PKCS#11 token, or declare it without escrow and copy",
                uri=str(spec.uri),
            )
        self._prove_free(spec.uri)
        key_id = keys.left_over(self._kms, spec, row) or keys.generate(self._kms, spec, row, policy=self._key_policy())
        try:
            keys.put_alias(self._kms, spec.uri, key_id)
        except KeyConflictError:  # somebody else took the alias just now
            keys.schedule_deletion(self._kms, spec.uri, key_id)
            raise
        return self._kms.settled(partial(self.describe, spec.uri))

    def _prove_free(self, uri: KeyUri) -> None:
        try:
            self.describe(uri)
        except KeyMissingError:
            return
        fix = "choose another name, or take it over with `pulumi import`"
        raise KeyConflictError(f"{uri} exists already", fix=fix, uri=str(uri))

    def describe(self, uri: KeyUri) -> KeyDescription:
        """Read the key behind the alias: what KMS says of it, its public half and its claim.

        A key that is scheduled for deletion counts as missing, and one that is disabled is refused; there is no
        fall-back to any other key. The fingerprint of a symmetric key is its ARN, which KMS never gives to another
        key: KMS makes no check value with such a key.
        """
        found = keys.usable(self._kms, uri)
        row = _row(str(found["KeySpec"]), uri)
        arn = str(found["Arn"])  # from here on the key itself: an alias can be moved at any time
        tags = keys.tags(self._kms, uri, arn)
        pem = None if row.symmetric else keys.public_key(self._kms, uri, arn)
        return KeyDescription(
            uri=uri,
            algorithm=row.name,
            fingerprint=arn if pem is None else encoding.thumbprint(pem),
            public_key_pem=pem,
            claim_id=keys.claim_id(tags),
            attributes={
                "Arn": arn,
                "KeySpec": found["KeySpec"],
                "KeyUsage": found["KeyUsage"],
                **{name: found[name] for name in (_REQUIRED if found["Origin"] == keys.INSIDE else _ALL)},
            },
        )

    def names(self, vault: VaultUri) -> list[str]:
        """Return the aliases of the region but for those that AWS predefines; a key without alias has no name."""
        entries = self._kms.pages("list_aliases", "Aliases", region=vault.vault, what=str(vault))
        return sorted(keys.alias_name(entry) for entry in entries if keys.is_ours_to_see(entry))

    def required(self, spec: KeySpec) -> Mapping[str, AttributeValue]:
        """Return what DescribeKey must say of the key.

        Whoever makes a key elsewhere may choose several regions, or material from outside; neither can change later.
        """
        row = algorithm(spec.algorithm)
        if spec.source is not None:
            chosen = {name: value for name, value in _REQUIRED.items() if name not in _CHOSEN_BY_THE_MAKER}
            return {**chosen, "Arn": spec.source, "KeyUsage": keys.usage(row), "KeySpec": row.kms}
        imported = _IMPORTED if spec.custody in {Custody.COPIED, Custody.RESTORED} else {}
        return {**_REQUIRED, **imported, "KeyUsage": keys.usage(row), "KeySpec": row.kms}

    def deviations(self, spec: KeySpec, found: KeyDescription) -> list[str]:
        """Return the attributes, as KMS names them, that are not as a key's must be."""
        return [name for name, value in self.required(spec).items() if found.attributes.get(name) != value]

    def destroy(self, uri: KeyUri) -> None:
        """Schedule the key's deletion, then remove the alias; in this order a crash leaves no living key behind."""
        try:
            key_id = str(keys.metadata(self._kms, uri)["KeyId"])
        except KeyMissingError:
            return
        keys.schedule_deletion(self._kms, uri, key_id)
        keys.remove_alias(self._kms, uri)

    def rotate(self, uri: KeyUri) -> KeyDescription:
        """Have KMS renew the material of a sealing key now, as it does 25 times at most; see `Rotating.rotate`."""
        found = keys.usable(self._kms, uri)
        if not _row(str(found["KeySpec"]), uri).symmetric:
            raise KeyRefusedError(
                f"{uri} signs, so its next material is its next generation", fix="raise `generation`", uri=str(uri)
            )
        self._kms.tell("rotate_key_on_demand", region=uri.vault, what=str(uri), KeyId=found["KeyId"])
        return self.describe(uri)

    def offer(self, spec: KeySpec, *, hash_name: str) -> ImportOffer:
        """Make an empty key and return what to wrap its material to; see `Receiving.offer`."""
        row = offered_algorithm(spec.algorithm, scheme=self.scheme, offered=self.algorithms)
        self._prove_free(spec.uri)
        return importing.offer(self._kms, spec, row, hash_name=hash_name, policy=self._key_policy())

    def receive(self, spec: KeySpec, offer: ImportOffer, wrapped: bytes) -> KeyDescription:
        """Import the material; see `Receiving.receive`."""
        importing.receive(self._kms, spec, offer, wrapped)
        return self._kms.settled(partial(self.describe, spec.uri))

    def sign(self, uri: KeyUri, data: bytes) -> bytes:
        """Sign in KMS, which refuses a key of another algorithm than the one that is named."""
        known = self._algorithms.get(uri)
        if known is not None:
            with suppress(KeyRefusedError):  # a key of another algorithm may have got the alias
                return self._signed(uri, data, known)
        row = self._algorithms[uri] = self._algorithm(uri)
        return self._signed(uri, data, row)

    def _algorithm(self, uri: KeyUri) -> Algorithm:
        return _row(str(keys.usable(self._kms, uri)["KeySpec"]), uri)

    def _signed(self, uri: KeyUri, data: bytes, row: Algorithm) -> bytes:
        if row.kms_signing is None:
            raise KeyRefusedError(f"{uri} is no signing key", fix="use a key made for signing", uri=str(uri))
        # A message is hashed here, so that its size is no limit; Ed25519 takes none but whole ones.
        return self._kms.ask(
            "sign",
            lambda answer: encoding.jose_from_kms(answer["Signature"], row),
            region=uri.vault,
            what=str(uri),
            KeyId=keys.alias(uri),
            Message=encoding.digest(data, row.hash_name),
            MessageType="RAW" if row.hash_name is None else "DIGEST",
            SigningAlgorithm=row.kms_signing,
        )

    def seal(self, uri: KeyUri, plaintext: bytes, *, context: bytes) -> str:
        """Encrypt in KMS under the encryption context `_context`."""
        if not 0 < len(plaintext) <= _MAX_PLAINTEXT_BYTES:
            raise KeyRefusedError(
                f"KMS seals 1 to {_MAX_PLAINTEXT_BYTES} bytes, not {len(plaintext)}",
                fix="seal less at a time",
                uri=str(uri),
            )
        return self._kms.ask(
            "encrypt",
            lambda answer: encoding.base64url(answer["CiphertextBlob"]),
            region=uri.vault,
            what=str(uri),
            KeyId=keys.alias(uri),
            Plaintext=plaintext,
            EncryptionContext=_context(context),
        )

    def seal_many(self, uri: KeyUri, items: Sequence[tuple[bytes, bytes]]) -> Sequence[str]:
        """Seal one by one; KMS takes one text in a call."""
        return [self.seal(uri, plaintext, context=context) for plaintext, context in items]

    def open(self, uri: KeyUri, sealed: str, *, context: bytes) -> bytes:
        """Decrypt what `seal` made, by this very key and under the same context."""
        try:
            ciphertext = encoding.from_base64url(sealed)
        except ValueError:
            ciphertext = b""
        if not ciphertext:
            raise KeyRefusedError(f"the text is none that {uri} sealed", fix="check where it came from", uri=str(uri))
        return self._kms.ask(
            "decrypt",
            lambda answer: bytes(answer["Plaintext"]),
            region=uri.vault,
            what=str(uri),
            KeyId=keys.alias(uri),
            CiphertextBlob=ciphertext,
            EncryptionContext=_context(context),
        )


def _row(kms_spec: str, uri: KeyUri) -> Algorithm:
    row = _BY_KMS_SPEC.get(kms_spec)
    if row is None:
        raise KeyConflictError(f"{uri} is of the unsupported type {kms_spec}", fix="choose another name", uri=str(uri))
    return row


def _context(context: bytes) -> dict[str, str]:
    """Return the encryption context: a hash, since CloudTrail writes it down and ``context`` may name a person."""
    return {"keyrung": hashlib.sha256(context).hexdigest()}
