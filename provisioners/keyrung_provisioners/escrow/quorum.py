"""From opened shares to the escrow wrapping key: every share is checked and named before any is used."""

from collections import Counter
from collections.abc import Sequence

from keyrung_provisioners.errors import ShareRefusedError
from keyrung_provisioners.escrow import shamir
from keyrung_provisioners.escrow.envelope import Envelope
from keyrung_provisioners.escrow.share import OpenShare, check


def wrapping_key(envelope: Envelope, shares: Sequence[OpenShare]) -> bytearray:
    """Return the wrapping key that ``shares`` make; more than the threshold are checked all and used in part.

    Raises:
        ShareRefusedError: If a share is foreign, altered or given twice (it is named), or too few are given.
    """
    for share in shares:
        check(envelope, share)
    repeated = [index for index, times in Counter(share.index for share in shares).items() if times > 1]
    if repeated:
        raise ShareRefusedError(
            f"share {repeated[0]} of set {envelope.set_id} was given twice",
            fix="give each share once",
            set=envelope.set_id,
            index=str(repeated[0]),
        )
    missing = envelope.threshold - len(shares)
    if missing > 0:
        plural = "share is" if missing == 1 else "shares are"
        raise ShareRefusedError(
            f"{missing} more {plural} needed: set {envelope.set_id} opens with {envelope.threshold} of "
            f"{len(envelope.shares)} shares; given: {len(shares)}",
            fix="ask further custodians",
            set=envelope.set_id,
            missing=str(missing),
        )
    used = list(shares)[: envelope.threshold]
    return shamir.combine([shamir.parse(share.words) for share in used])
