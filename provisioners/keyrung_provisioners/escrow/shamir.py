"""M-of-N by SLIP-39 (one group, no passphrase): a text of words for each share, with a checksum for typing errors.

The library draws its randomness from the system's secure source itself.
"""

from dataclasses import dataclass, field

from keyrung_provisioners.errors import BackendMissingError, InvalidSettingError, ShareRefusedError

try:
    from shamir_mnemonic import combine_mnemonics, generate_mnemonics
    from shamir_mnemonic.share import Share
    from shamir_mnemonic.utils import MnemonicError
except ImportError as missing:
    raise BackendMissingError("the library behind SLIP-39 is not installed", fix="install keyrung[escrow]") from missing

SECRET_BYTES = 32
MIN_THRESHOLD = 2  # one custodian alone must never be enough
MAX_SHARES = 16  # SLIP-39: an index has 4 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One share as SLIP-39 words; `index` counts from 1."""

    index: int
    threshold: int
    text: str = field(repr=False)


def check_plan(threshold: int, count: int) -> None:
    """Raise `InvalidSettingError` unless ``threshold`` of ``count`` shares make sense."""
    if not MIN_THRESHOLD <= threshold <= count <= MAX_SHARES:
        raise InvalidSettingError(
            f"{threshold} of {count} shares is no quorum",
            fix=f"name at least {MIN_THRESHOLD} and at most {MAX_SHARES} custodians, and a threshold from "
            f"{MIN_THRESHOLD} to their number",
        )


def split(secret: bytearray, *, threshold: int, count: int) -> list[Words]:
    """Return ``count`` shares of a 32-byte secret, any ``threshold`` of which give it back."""
    check_plan(threshold, count)
    texts = generate_mnemonics(1, [(threshold, count)], bytes(secret))[0]
    return [Words(index=index, threshold=threshold, text=text) for index, text in enumerate(texts, start=1)]


def parse(text: str) -> Words:
    """Return the share that ``text`` spells; its checksum finds up to three wrong words (SLIP-39)."""
    try:
        share = Share.from_mnemonic(text)
    except MnemonicError as error:
        raise _misspelt() from error
    if share.group_count != 1 or share.mnemonic() != text:
        raise _misspelt()
    return Words(index=share.index + 1, threshold=share.member_threshold, text=text)


def combine(shares: list[Words]) -> bytearray:
    """Return the secret that exactly `threshold` shares of one set make; their digest is checked (SLIP-39)."""
    try:
        return bytearray(combine_mnemonics([share.text for share in shares]))
    except MnemonicError as error:
        raise ShareRefusedError(
            "the shares do not make one secret", fix="check that all come from the same set"
        ) from error


def _misspelt() -> ShareRefusedError:
    return ShareRefusedError(
        "the words of a share do not fit their checksum", fix="compare them with the custodian's, word by word"
    )
