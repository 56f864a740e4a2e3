"""Custodian keys: HPKE round trip and tampering, recipient texts, key files; and age keys, which do the same."""

import json
import secrets
from collections.abc import Callable

import pyrage
import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding, aes_key_wrap_with_padding

from keyrung_provisioners.errors import InvalidSettingError, ShareRefusedError
from keyrung_provisioners.escrow import custodian
from keyrung_provisioners.escrow.custodian import CustodianKey, HpkeRecipient
from keyrung_provisioners.escrow.recipients import Opener, parse_recipient, read_opener

_RFC5649_KEY = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")


def _no_passphrase() -> str:
    raise AssertionError("asked for a passphrase")


def _age() -> Opener:
    return read_opener(f"# a comment\n{pyrage.x25519.Identity.generate()}\n".encode(), passphrase=_no_passphrase)


def _hpke() -> Opener:
    return CustodianKey.generate(secrets.token_bytes)


@pytest.fixture(params=[_hpke, _age], ids=["hpke", "age"])
def opener(request: pytest.FixtureRequest) -> Opener:
    made: Callable[[], Opener] = request.param
    return made()


@pytest.mark.parametrize(
    ("data", "wrapped"),
    [
        (
            "c37b7e6492584340bed12207808941155068f738",
            "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
        ),
        ("466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"),
        ("466f725061736900", "0e13c7817f2e6681f64d911b7dd014d5"),
    ],
    ids=["20 bytes", "7 bytes", "7 bytes zero-filled, as SoftHSM2 does"],
)
def test_aes_kwp_is_that_of_rfc_5649(data: str, wrapped: str) -> None:
    assert aes_key_wrap_with_padding(_RFC5649_KEY, bytes.fromhex(data)).hex() == wrapped
    assert aes_key_unwrap_with_padding(_RFC5649_KEY, bytes.fromhex(wrapped)).hex() == data


def test_what_is_sealed_to_a_recipient_opens_with_its_key_only(opener: Opener) -> None:
    sealed = parse_recipient(opener.recipient).seal(b"a share", context=b"here")

    assert b"a share" not in sealed
    assert opener.open(sealed, context=b"here") == b"a share"
    for stranger in (_hpke(), _age()):
        with pytest.raises(ShareRefusedError):
            stranger.open(sealed, context=b"here")


def test_every_changed_byte_of_a_sealed_text_is_noticed(opener: Opener) -> None:
    sealed = parse_recipient(opener.recipient).seal(b"a share", context=b"here")

    for place in range(len(sealed)):
        with pytest.raises(ShareRefusedError):
            opener.open(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :], context=b"here")
    for bad in (b"", sealed[:-1], sealed + b"\0"):
        with pytest.raises(ShareRefusedError):
            opener.open(bad, context=b"here")


def test_hpke_opens_in_its_own_context_only() -> None:
    key = CustodianKey.generate(secrets.token_bytes)
    sealed = HpkeRecipient.parse(key.recipient).seal(b"a share", context=b"here")

    with pytest.raises(ShareRefusedError):
        key.open(sealed, context=b"there")


@pytest.mark.parametrize("make", [_hpke, _age], ids=["hpke", "age"])
def test_a_mistyped_recipient_is_noticed(make: Callable[[], Opener]) -> None:
    text = make().recipient
    place = len(text) // 2
    wrong = text[:place] + ("q" if text[place] != "q" else "p") + text[place + 1 :]

    for mistyped in (wrong, text[:-2], text + "A", text.replace(":", "")[:-1]):
        with pytest.raises(InvalidSettingError):
            parse_recipient(mistyped)


def test_an_unknown_kind_of_recipient_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="is no recipient"):
        parse_recipient("somebody")


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_key_file_gives_the_key_back(passphrase: str | None) -> None:
    key = CustodianKey.generate(secrets.token_bytes)
    data = key.to_file(passphrase=passphrase, token_bytes=secrets.token_bytes)
    again = read_opener(data, passphrase=lambda: passphrase or _no_passphrase())

    assert again.recipient == key.recipient
    assert again.open(HpkeRecipient.parse(key.recipient).seal(b"x", context=b""), context=b"") == b"x"


def test_a_wrong_passphrase_and_a_changed_key_file_are_refused() -> None:
    key = CustodianKey.generate(secrets.token_bytes)
    locked = key.to_file(passphrase="right", token_bytes=secrets.token_bytes)
    with pytest.raises(InvalidSettingError, match="passphrase"):
        read_opener(locked, passphrase=lambda: "wrong")

    plain = json.loads(key.to_file(passphrase=None, token_bytes=secrets.token_bytes))
    other = CustodianKey.generate(secrets.token_bytes).recipient
    bad_files = [
        {**plain, "recipient": other},
        {**plain, "more": "x"},
        {**plain, "private_key": plain["private_key"][:-2]},
        {**plain, "protection": "scrypt-aes-256-gcm"},
        {name: value for name, value in plain.items() if name != "recipient"},
    ]
    for bad in [*(json.dumps(file).encode() for file in bad_files), b"", b"\xff", b"[]"]:
        with pytest.raises(InvalidSettingError):
            read_opener(bad, passphrase=lambda: "x")


def test_keys_hide_themselves_from_repr_and_errors() -> None:
    key = CustodianKey.generate(lambda size_bytes: b"\x07" * size_bytes)

    assert "0707" not in repr(key)
    assert "\\x07" not in repr(key)
    assert key.recipient.startswith(custodian.PREFIX)


def test_an_age_file_with_two_keys_or_none_is_refused() -> None:
    one = str(pyrage.x25519.Identity.generate())
    for text in (f"{one}\n{one}\n", "# AGE-SECRET-KEY-1\n", f"{one[:-1]}\n"):
        with pytest.raises(InvalidSettingError):
            read_opener(text.encode(), passphrase=_no_passphrase)
