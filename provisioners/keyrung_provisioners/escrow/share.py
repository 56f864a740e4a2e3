"""One share in the open: the document a custodian gets by opening theirs, and hands in for a recovery."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta, Struct

from keyrung_provisioners.errors import ProvisionerError, ShareRefusedError
from keyrung_provisioners.escrow import shamir, strict_json
from keyrung_provisioners.escrow.envelope import Envelope, SealedShare, share_digest
from keyrung_provisioners.escrow.recipients import Opener
from keyrung_provisioners.escrow.strict_json import StrictFormError

_FORMAT = "escrow-share/v1"
_CONTEXT_LABEL = b"keyrung escrow share v1\x00"

_Hex32 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyrung: Literal["escrow-share/v1"]
    set: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    binding: _Hex32
    index: Annotated[int, Meta(ge=1, le=shamir.MAX_SHARES)]
    threshold: int
    digest: _Hex32
    words: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"\A[a-z ]+\Z")]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenShare:
    """A share in the open; secret.

    Attributes:
        binding: Digest of the envelope it was made with.
        digest: Digest over binding, index and words, as the envelope records it.
    """

    set_id: str
    binding: bytes
    index: int
    threshold: int
    digest: str
    words: str = field(repr=False)


def encode(share: OpenShare) -> bytes:
    """Return the share as a file."""
    return strict_json.write(
        {
            "keyrung": _FORMAT,
            "set": share.set_id,
            "binding": share.binding.hex(),
            "index": share.index,
            "threshold": share.threshold,
            "digest": share.digest,
            "words": share.words,
        }
    )


def decode(data: bytes) -> OpenShare:
    """Return the share of a file; raise `ShareRefusedError` when it is malformed."""
    try:
        file = strict_json.read(data, _File)
    except StrictFormError as error:
        raise ShareRefusedError(f"a share's file is malformed, {error}", fix="open the share again") from error
    return OpenShare(
        set_id=file.set,
        binding=bytes.fromhex(file.binding),
        index=file.index,
        threshold=file.threshold,
        digest=file.digest,
        words=file.words,
    )


def context(bound: bytes, index: int) -> bytes:
    """Return what a sealed share is bound to: its envelope and its place there."""
    return _CONTEXT_LABEL + bound + bytes([index])


def open_share(envelope: Envelope, opener: Opener) -> OpenShare:
    """Return the share of ``envelope`` that is sealed to ``opener``, checked.

    Raises:
        ShareRefusedError: If none is sealed to it, or what it opens is not the share that the envelope names.
    """
    sealed = next((share for share in envelope.shares if share.recipient == opener.recipient), None)
    if sealed is None:
        raise ShareRefusedError(
            f"no share of set {envelope.set_id} is sealed to {opener.recipient}",
            fix="use the key that the envelope names",
            set=envelope.set_id,
        )
    share = decode(_opened(envelope, sealed, opener))
    check(envelope, share)
    if share.index != sealed.index:
        raise _refused(envelope, sealed.index, "holds another share", "report it, and use other shares")
    return share


def check(envelope: Envelope, share: OpenShare) -> None:
    """Raise `ShareRefusedError`, naming the share, unless it is one of ``envelope`` and unaltered."""
    if share.set_id != envelope.set_id:
        raise ShareRefusedError(
            f"share {share.index} belongs to the set {share.set_id}, not to {envelope.set_id}",
            fix="hand in a share of this set",
            set=share.set_id,
            index=str(share.index),
        )
    if share.binding != envelope.binding:
        raise _refused(
            envelope, share.index, "was made with another envelope", "take the envelope as it was when it was made"
        )
    if share.index > len(envelope.shares) or share.threshold != envelope.threshold:
        raise _refused(envelope, share.index, "has an index or threshold that the set has not", "open it again")
    recorded = envelope.shares[share.index - 1].digest
    if not share.digest == recorded == share_digest(envelope.binding, share.index, share.words):
        raise _refused(envelope, share.index, "is altered: it does not have its recorded digest", "open it again")
    try:
        words = shamir.parse(share.words)
    except ProvisionerError as error:
        raise _refused(envelope, share.index, "has words that fit no checksum", "open it again") from error
    if (words.index, words.threshold) != (share.index, share.threshold):
        raise _refused(envelope, share.index, "holds the words of another share", "open it again")


def _opened(envelope: Envelope, sealed: SealedShare, opener: Opener) -> bytes:
    try:
        return opener.open(sealed.sealed, context=context(envelope.binding, sealed.index))
    except ShareRefusedError as error:
        raise _refused(
            envelope, sealed.index, "cannot be opened: it or the envelope was altered", "take an unchanged copy"
        ) from error


def _refused(envelope: Envelope, index: int, what: str, fix: str) -> ShareRefusedError:
    return ShareRefusedError(
        f"share {index} of set {envelope.set_id} {what}", fix=fix, set=envelope.set_id, index=str(index)
    )
