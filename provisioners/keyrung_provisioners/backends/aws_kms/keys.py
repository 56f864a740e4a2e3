"""The calls about one key: read it, make it or find the one an interrupted run made, schedule its deletion."""

from collections.abc import Mapping

from keyrung_provisioners import encoding
from keyrung_provisioners.algorithms import Algorithm
from keyrung_provisioners.api import KeySpec
from keyrung_provisioners.backends.aws_kms.connection import Answer, Connection
from keyrung_provisioners.errors import KeyConflictError, KeyMissingError, KeyRefusedError
from keyrung_provisioners.uri import KeyUri

CLAIM_TAG = "keyrung:claim"  # hex of the claim id
PURPOSE_TAG = "keyrung:purpose"
INSIDE, EXTERNAL = "AWS_KMS", "EXTERNAL"  # where material comes from: made in KMS, or imported
FOR_GOOD = "KEY_MATERIAL_DOES_NOT_EXPIRE"
_DELETION_DAYS = 7  # the shortest that ScheduleKeyDeletion takes
_ON_THE_WAY_OUT = frozenset({"PendingDeletion", "PendingReplicaDeletion"})
_ENABLED = "Enabled"
_METADATA = ("Arn", "KeyId", "KeyManager", "KeySpec", "KeyState", "KeyUsage", "MultiRegion", "Origin")


def alias(uri: KeyUri) -> str:
    """Return the alias as KMS writes it."""
    return f"alias/{uri.name}"


def alias_name(entry: Answer) -> str:
    """Return the name in an entry of ListAliases."""
    return str(entry["AliasName"]).removeprefix("alias/")


def is_ours_to_see(entry: Answer) -> bool:
    """Return whether an entry of ListAliases stands for a key of the account's owner: AWS's own begin with aws/."""
    return "TargetKeyId" in entry and not alias_name(entry).startswith("aws/")


def usage(row: Algorithm) -> str:
    """Return the one KeyUsage of an algorithm's keys."""
    return "ENCRYPT_DECRYPT" if row.symmetric else "SIGN_VERIFY"


def metadata(kms: Connection, uri: KeyUri, key_id: str | None = None) -> Answer:
    """Return what KMS says of ``key_id`` (None: the key behind the alias), in whatever state it is."""
    return kms.ask(
        "describe_key",
        _metadata,
        region=uri.vault,
        what=str(uri),
        KeyId=key_id or alias(uri),
    )


def _metadata(answer: Answer) -> Answer:
    """Return the members that matter; only material that was imported says whether it expires."""
    found = {name: answer["KeyMetadata"][name] for name in _METADATA}
    return {**found, "ExpirationModel": answer["KeyMetadata"].get("ExpirationModel", "")}


def usable(kms: Connection, uri: KeyUri) -> Answer:
    """Return what KMS says of the key behind the alias; raise if it is scheduled for deletion or not enabled."""
    found = metadata(kms, uri)
    state = str(found["KeyState"])
    if state in _ON_THE_WAY_OUT:
        raise KeyMissingError(
            f"{uri} is scheduled for deletion in KMS",
            fix=f"cancel the deletion of {found['KeyId']} and enable it, if it is to live",
            uri=str(uri),
            state=state,
        )
    if state != _ENABLED:
        raise KeyRefusedError(
            f"{uri} is not enabled in KMS but {state}", fix=f"enable {found['KeyId']}", uri=str(uri), state=state
        )
    return found


def public_key(kms: Connection, uri: KeyUri, key_id: str) -> str:
    """Return the public half (PEM)."""
    return kms.ask(
        "get_public_key",
        lambda answer: encoding.public_pem_from_der(answer["PublicKey"]),
        region=uri.vault,
        what=str(uri),
        KeyId=key_id,
    )


def tags(kms: Connection, uri: KeyUri, key_id: str) -> Mapping[str, str]:
    """Return the key's tags."""
    found = kms.pages("list_resource_tags", "Tags", region=uri.vault, what=str(uri), KeyId=key_id)
    return {str(tag["TagKey"]): str(tag["TagValue"]) for tag in found}


def claim_id(found: Mapping[str, str]) -> bytes:
    """Return the claim that the tags hold; a key without one, or with anything else there, is nobody's claim."""
    try:
        return bytes.fromhex(found.get(CLAIM_TAG, ""))
    except ValueError:
        return b""


def generate(kms: Connection, spec: KeySpec, row: Algorithm, *, origin: str = INSIDE, policy: str | None = None) -> str:
    """Make a key that carries the claim from its first moment, and return its id; an external one has no material yet.

    ``policy`` is the key policy (JSON); without one, KMS's default leaves all to the account's IAM.
    """
    chosen = {} if policy is None else {"Policy": policy}
    key_id, retried = kms.ask(
        "create_key",
        lambda answer: (str(answer["KeyMetadata"]["KeyId"]), int(answer["ResponseMetadata"].get("RetryAttempts", 0))),
        region=spec.uri.vault,
        what=str(spec.uri),
        KeySpec=row.kms,
        KeyUsage=usage(row),
        Origin=origin,
        MultiRegion=False,
        **chosen,
        Description=f"keyrung {spec.purpose.value} key {spec.uri.name}",
        Tags=[
            {"TagKey": CLAIM_TAG, "TagValue": spec.claim_id.hex()},
            {"TagKey": PURPOSE_TAG, "TagValue": spec.purpose.value},
        ],
    )
    if retried:  # an attempt whose answer was lost may have made a key, too
        for other in _without_alias(kms, spec):
            if other["KeyId"] != key_id:
                schedule_deletion(kms, spec.uri, str(other["KeyId"]))
    return key_id


def left_over(kms: Connection, spec: KeySpec, row: Algorithm, *, origin: str = INSIDE) -> str | None:
    """Return the id of the key that this claim made before, if it never got its alias."""
    found = _without_alias(kms, spec)
    if len(found) > 1 or any((key["KeySpec"], key["Origin"]) != (row.kms, origin) for key in found):
        ids = ", ".join(str(key["KeyId"]) for key in found)
        raise KeyConflictError(
            f"what an earlier run made for {spec.uri} is not one {spec.algorithm} key: {ids}",
            fix="schedule these keys for deletion; nothing uses them",
            uri=str(spec.uri),
            key_ids=ids,
        )
    return str(found[0]["KeyId"]) if found else None


def _without_alias(kms: Connection, spec: KeySpec) -> list[Answer]:
    """Return the living keys that carry this claim and have no alias.

    KMS cannot search by tag, but nearly every key has an alias: only the tags of the few others are read.
    """
    uri, what = spec.uri, str(spec.uri)
    aliases = kms.pages("list_aliases", "Aliases", region=uri.vault, what=what)
    named = {entry.get("TargetKeyId") for entry in aliases}
    every = kms.pages("list_keys", "Keys", region=uri.vault, what=what)
    nameless = [str(entry["KeyId"]) for entry in every if entry["KeyId"] not in named]
    ours = [key_id for key_id in nameless if claim_id(_tags_or_none(kms, uri, key_id)) == spec.claim_id]
    found = [metadata(kms, uri, key_id) for key_id in ours]
    return [key for key in found if key["KeyState"] not in _ON_THE_WAY_OUT]


def _tags_or_none(kms: Connection, uri: KeyUri, key_id: str) -> Mapping[str, str]:
    """Return the tags of a key that may have been deleted since it was listed."""
    try:
        return tags(kms, uri, key_id)
    except KeyMissingError:
        return {}


def schedule_deletion(kms: Connection, uri: KeyUri, key_id: str) -> None:
    """Schedule the deletion of a key; scheduled already counts as done."""
    if metadata(kms, uri, key_id)["KeyState"] not in _ON_THE_WAY_OUT:
        kms.tell(
            "schedule_key_deletion", region=uri.vault, what=str(uri), KeyId=key_id, PendingWindowInDays=_DELETION_DAYS
        )


def put_alias(kms: Connection, uri: KeyUri, key_id: str) -> None:
    """Put the alias on a key made just now."""
    kms.settled(
        lambda: kms.tell("create_alias", region=uri.vault, what=str(uri), AliasName=alias(uri), TargetKeyId=key_id)
    )


def remove_alias(kms: Connection, uri: KeyUri) -> None:
    """Remove the alias; already gone counts as done."""
    try:
        kms.tell("delete_alias", region=uri.vault, what=str(uri), AliasName=alias(uri))
    except KeyMissingError:
        return
