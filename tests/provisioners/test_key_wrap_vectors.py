"""AES key wrap as published, through the library that custodians use and through the token that escrow uses."""

from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives.keywrap import (
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from support.raw_keys import raw_session
from support.softhsm import SoftHsmToken

from keyrung_provisioners.backends.pkcs11 import wrapping

# RFC 3394 section 4: key-encryption key, key data, ciphertext; the bytes of both inputs count up.
_KEK = bytes(range(32))
_DATA = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
_RFC_3394 = {
    "4.1": (16, 16, "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"),
    "4.2": (24, 16, "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"),
    "4.3": (32, 16, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"),
    "4.4": (24, 24, "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2"),
    "4.5": (32, 24, "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"),
    "4.6": (32, 32, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"),
}
# RFC 5649 section 6: both examples are under one key.
_RFC_5649_KEK = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
_RFC_5649 = {
    "20 bytes": (
        "c37b7e6492584340bed12207808941155068f738",
        "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
    ),
    "7 bytes": ("466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"),
}


@pytest.mark.parametrize("section", list(_RFC_3394))
def test_rfc_3394_in_the_library_and_in_the_token(softhsm_token: SoftHsmToken, section: str) -> None:
    kek_bytes, data_bytes, text = _RFC_3394[section]
    kek, data, wrapped = _KEK[:kek_bytes], _DATA[:data_bytes], bytes.fromhex(text)
    assert aes_key_wrap(kek, data) == wrapped
    assert aes_key_unwrap(kek, wrapped) == data
    with raw_session(softhsm_token) as session:
        key = _secret(session, KeyType.AES, kek)
        target = _secret(session, KeyType.GENERIC_SECRET, data)
        assert key.wrap_key(target, mechanism=Mechanism.AES_KEY_WRAP) == wrapped
        assert _opened(key, wrapped, Mechanism.AES_KEY_WRAP) == data


@pytest.mark.parametrize("example", list(_RFC_5649))
def test_rfc_5649_in_the_library_and_in_the_token(softhsm_token: SoftHsmToken, example: str) -> None:
    data, wrapped = (bytes.fromhex(text) for text in _RFC_5649[example])
    assert aes_key_wrap_with_padding(_RFC_5649_KEK, data) == wrapped
    assert aes_key_unwrap_with_padding(_RFC_5649_KEK, wrapped) == data
    with raw_session(softhsm_token) as session:
        mechanism = wrapping.kwp_mechanism(session)
        key = _secret(session, KeyType.AES, _RFC_5649_KEK)
        assert _opened(key, wrapped, mechanism) == data
        # SoftHSM2 fills the data up with zeros before it wraps; what the library opens is the data and these.
        ours = key.wrap_key(_secret(session, KeyType.GENERIC_SECRET, data), mechanism=mechanism)
        opened = aes_key_unwrap_with_padding(_RFC_5649_KEK, ours)
        assert opened == data + bytes(-len(data) % 8)


def _secret(session: Any, kind: KeyType, value: bytes) -> Any:
    return session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: kind,
            Attribute.VALUE: value,
            Attribute.TOKEN: False,
            Attribute.EXTRACTABLE: True,
            Attribute.WRAP: True,
            Attribute.UNWRAP: True,
        }
    )


def _opened(key: Any, wrapped: bytes, mechanism: Mechanism) -> bytes:
    readable = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False}
    leave_out = dict.fromkeys((Attribute.ENCRYPT, Attribute.DECRYPT, Attribute.WRAP, Attribute.UNWRAP), pkcs11.DEFAULT)
    opened = key.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.GENERIC_SECRET,
        wrapped,
        mechanism=mechanism,
        store=False,
        template={**leave_out, **readable},
    )
    return bytes(opened[Attribute.VALUE])
