"""The whole published set of SLIP-0039 vectors: what opens gives the published secret, and everything else is refused.

Our own `shamir` is narrower than SLIP-39: one group, no passphrase. So the library behind it is put to the set, and
our parser to each of its shares.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from shamir_mnemonic import combine_mnemonics
from shamir_mnemonic.share import Share
from shamir_mnemonic.utils import MnemonicError

from keyrung_provisioners.errors import ShareRefusedError
from keyrung_provisioners.escrow import shamir

_PASSPHRASE = b"TREZOR"
_FILE = Path(__file__).parents[2] / "vectors" / "slip39.txt"
# Of all shares in the set these are wrong by themselves, each for its reason and no other.
_BAD_ENDS = {
    "critical decision kidney": "checksum",
    "brave detect lunar": "checksum",
    "music cargo fitness": "padding",
    "facility obtain sister": "padding",
    "glasses verify cylinder": "length",
    "prepare spirit quarter": "length",
}
_BAD_BEGINNINGS = {"music husband": "Group threshold", "smirk pink": "Group threshold"}


@dataclass(frozen=True)
class Vector:
    shares: tuple[str, ...]
    secret: str


def _vectors() -> list[Vector]:
    found: list[Vector] = []
    shares: list[str] = []
    for line in _FILE.read_text("ascii").splitlines():
        if line.startswith("="):
            found.append(Vector(tuple(shares), line.removeprefix("=").strip()))
            shares = []
        elif not line.startswith("#"):
            shares.append(line)
    return found


_VECTORS = _vectors()
_SHARES = sorted({share for vector in _VECTORS for share in vector.shares})


def test_the_set_is_whole() -> None:
    assert len(_VECTORS) == 40
    assert sum(bool(vector.secret) for vector in _VECTORS) == 10


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: " ".join(vector.shares[0].split()[-2:]))
def test_the_published_shares_give_the_published_secret_or_are_refused(vector: Vector) -> None:
    if vector.secret:
        assert combine_mnemonics(list(vector.shares), _PASSPHRASE).hex() == vector.secret
        return
    with pytest.raises(MnemonicError):
        combine_mnemonics(list(vector.shares), _PASSPHRASE)


@pytest.mark.parametrize("share", _SHARES, ids=lambda share: " ".join(share.split()[-3:]))
def test_our_parser_takes_exactly_the_good_shares_of_one_group(share: str) -> None:
    reasons = [reason for end, reason in _BAD_ENDS.items() if share.endswith(end)]
    reasons += [reason for start, reason in _BAD_BEGINNINGS.items() if share.startswith(start)]
    if reasons:
        with pytest.raises(MnemonicError, match=reasons[0]):
            Share.from_mnemonic(share)
    elif Share.from_mnemonic(share).group_count == 1:
        assert shamir.parse(share).text == share
        return
    with pytest.raises(ShareRefusedError):
        shamir.parse(share)
