"""SLIP-39: published vectors, and what our narrow use of it refuses."""

import itertools

import pytest

from keyrung_provisioners.errors import InvalidSettingError, ShareRefusedError
from keyrung_provisioners.escrow import shamir

# Vectors of SLIP-0039 (256 bits, one group of 2 of 3, passphrase "TREZOR").
_PASSPHRASE = b"TREZOR"
_SECRET = "c938b319067687e990e05e0da0ecce1278f75ff58d9853f19dcaeed5de104aae"
_SHARES = (
    "humidity disease academic always aluminum jewelry energy woman receiver strategy amuse duckling lying evidence "
    "network walnut tactics forget hairy rebound impulse brother survive clothes stadium mailman rival ocean reward "
    "venture always armed unwrap",
    "humidity disease academic agency actress jacket gross physics cylinder solution fake mortgage benefit public "
    "busy prepare sharp friar change work slow purchase ruler again tricycle involve viral wireless mixture anatomy "
    "desert cargo upgrade",
)
# The same document: a wrong checksum, and a wrong padding (256 bits).
_WRONG_CHECKSUM = (
    "theory painting academic academic armed sweater year military elder discuss acne wildlife boring employer fused "
    "large satoshi bundle carbon diagnose anatomy hamster leaves tracks paces beyond phantom capital marvel lips "
    "brave detect lunar"
)
_WRONG_PADDING = (
    "theory painting academic academic campus sweater year military elder discuss acne wildlife boring employer fused "
    "large satoshi bundle carbon diagnose anatomy hamster leaves tracks paces beyond phantom capital marvel lips "
    "facility obtain sister"
)


def test_the_published_shares_give_the_published_secret() -> None:
    from shamir_mnemonic import combine_mnemonics  # noqa: PLC0415 - the vectors use a passphrase, we never do

    assert combine_mnemonics(list(_SHARES), _PASSPHRASE).hex() == _SECRET
    assert [(share.index, share.threshold) for share in map(shamir.parse, _SHARES)] == [(3, 2), (2, 2)]


@pytest.mark.parametrize("text", [_WRONG_CHECKSUM, _WRONG_PADDING], ids=["checksum", "padding"])
def test_published_bad_shares_are_refused(text: str) -> None:
    with pytest.raises(ShareRefusedError, match="checksum"):
        shamir.parse(text)


def test_one_published_share_of_two_is_refused() -> None:
    with pytest.raises(ShareRefusedError):
        shamir.combine([shamir.parse(_SHARES[0])])


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (3, 5), (5, 5)])
def test_every_quorum_gives_the_secret_back_and_every_set_one_short_does_not(threshold: int, count: int) -> None:
    secret = bytearray(range(32))
    shares = shamir.split(secret, threshold=threshold, count=count)

    assert [share.index for share in shares] == list(range(1, count + 1))
    assert shares == [shamir.parse(share.text) for share in shares]
    for quorum in itertools.combinations(shares, threshold):
        assert shamir.combine(list(quorum)) == secret
    for short in itertools.combinations(shares, threshold - 1):
        with pytest.raises(ShareRefusedError):
            shamir.combine(list(short))


def test_a_share_one_word_off_is_refused() -> None:
    words = shamir.split(bytearray(32), threshold=2, count=2)[0].text.split()
    words[10] = "academic" if words[10] != "academic" else "acid"

    with pytest.raises(ShareRefusedError, match="checksum"):
        shamir.parse(" ".join(words))


def test_shares_of_two_splits_do_not_combine() -> None:
    first = shamir.split(bytearray(32), threshold=2, count=2)
    second = shamir.split(bytearray(32), threshold=2, count=2)

    with pytest.raises(ShareRefusedError):
        shamir.combine([first[0], second[1]])


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (4, 3), (2, 17), (0, 0)])
def test_a_plan_that_is_no_quorum_is_refused(threshold: int, count: int) -> None:
    with pytest.raises(InvalidSettingError, match="no quorum"):
        shamir.split(bytearray(32), threshold=threshold, count=count)


def test_a_share_hides_its_words_from_repr() -> None:
    share = shamir.split(bytearray(32), threshold=2, count=2)[0]

    assert share.text not in repr(share)
