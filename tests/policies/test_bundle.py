"""Bundles: a good one opens, and each attack on one is refused as what it is."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keyrung_policies.bundle import MAX_BUNDLE_BYTES, Bundle, build_payload, open_bundle, policy_digest, sign_bundle
from keyrung_policies.canonical import canonical_bytes
from keyrung_policies.compile import Compiled, compile_texts
from keyrung_policies.errors import (
    BundleCorruptError,
    BundleExpiredError,
    BundleNotYetValidError,
    BundleRefusedError,
    BundleRollbackError,
    BundleSigningError,
    BundleUnknownSignerError,
    BundleUnsignedError,
)
from keyrung_policies.jws import decode_base64url, encode_base64url
from keyrung_policies.policy_set import PolicySet

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleKey:
    """A private key made for this run and what a verifier knows of it."""

    key_id: str
    algorithm: str
    jwk: Mapping[str, str]
    sign: Callable[[bytes], bytes]


def _es256_key() -> BundleKey:
    private = generate_private_key(SECP256R1())
    numbers = private.public_key().public_numbers()

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(data, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    point = {name: encode_base64url(n.to_bytes(32, "big")) for name, n in (("x", numbers.x), ("y", numbers.y))}
    return BundleKey(key_id="ec", algorithm="ES256", jwk={"kty": "EC", "crv": "P-256", **point}, sign=sign)


def _ed25519_key() -> BundleKey:
    private = Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(private.public_key().public_bytes_raw())}
    return BundleKey(key_id="ed", algorithm="Ed25519", jwk=jwk, sign=private.sign)


EC, ED = _es256_key(), _ed25519_key()
TRUSTED = {key.key_id: key.jwk for key in (EC, ED)}
SMALL = b"keyrung: policy/v1\ndefault: deny\nrules:\n  - {id: read, actions: [a.read], allow: true}\n"
POLICY = compile_texts({"policy.yaml": SMALL}).policy


def payload(version: int = 7, policy: PolicySet = POLICY) -> bytes:
    return build_payload(policy, version=version, not_before=NOW - HOUR, expires_at=NOW + HOUR)


def signed(content: bytes, key: BundleKey = ED, /, **header: object) -> bytes:
    """Return a flattened JWS with a good signature over whatever content and header it is given."""
    stated = {"alg": key.algorithm, "kid": key.key_id, "typ": "policy-bundle+jws"} | header
    protected = encode_base64url(canonical_bytes({name: value for name, value in stated.items() if value is not None}))
    return flattened(key, protected, encode_base64url(content))


def flattened(key: BundleKey, protected: str, content: str) -> bytes:
    signature = encode_base64url(key.sign(f"{protected}.{content}".encode()))
    return canonical_bytes({"payload": content, "protected": protected, "signature": signature})


def opened(data: bytes, *, now: datetime = NOW, minimum_version: int = 0) -> Bundle:
    return open_bundle(data, trusted_keys=TRUSTED, now=now, minimum_version=minimum_version)


@pytest.mark.parametrize("key", [EC, ED], ids=["ES256", "Ed25519"])
def test_signed_bundle_opens_to_the_same_policy(key: BundleKey, bank: Compiled) -> None:
    data = sign_bundle(payload(policy=bank.policy), key_id=key.key_id, algorithm=key.algorithm, sign=key.sign)
    bundle = opened(data)
    assert bundle.policy == bank.policy
    assert bundle.digest == policy_digest(bank.policy)
    assert (bundle.version, bundle.key_id) == (7, key.key_id)
    assert (bundle.not_before, bundle.expires_at) == (NOW - HOUR, NOW + HOUR)


def test_header_is_exactly_alg_kid_and_typ() -> None:
    data = sign_bundle(payload(), key_id="ed", algorithm="Ed25519", sign=ED.sign)
    assert json.loads(data).keys() == {"payload", "protected", "signature"}
    header = decode_base64url(json.loads(data)["protected"])
    assert header == b'{"alg":"Ed25519","kid":"ed","typ":"policy-bundle+jws"}'


def test_rollback_to_an_older_version_is_refused() -> None:
    with pytest.raises(BundleRollbackError):
        opened(signed(payload(version=6)), minimum_version=7)
    assert opened(signed(payload(version=7)), minimum_version=7).version == 7


def test_expired_bundle_is_refused_from_its_last_second_on() -> None:
    assert opened(signed(payload()), now=NOW + HOUR - timedelta(microseconds=1)).version == 7
    with pytest.raises(BundleExpiredError):
        opened(signed(payload()), now=NOW + HOUR)


def test_bundle_from_the_future_is_refused() -> None:
    assert opened(signed(payload()), now=NOW - HOUR).version == 7
    with pytest.raises(BundleNotYetValidError):
        opened(signed(payload()), now=NOW - HOUR - timedelta(seconds=1))


def test_unknown_signer_is_refused() -> None:
    with pytest.raises(BundleUnknownSignerError):
        opened(signed(payload(), replace(ED, key_id="other")))
    with pytest.raises(BundleUnknownSignerError):
        open_bundle(signed(payload()), trusted_keys={}, now=NOW)


def test_stranger_who_uses_the_name_of_a_trusted_key_is_refused() -> None:
    with pytest.raises(BundleCorruptError):
        opened(signed(payload(), replace(_ed25519_key(), key_id="ed")))


@pytest.mark.parametrize("kid", ["../ed", "ed\x00", "ED", "", "https://evil.example/key", "__class__"])
def test_kid_is_looked_up_as_an_opaque_name(kid: str) -> None:
    with pytest.raises(BundleUnknownSignerError):
        opened(signed(payload(), kid=kid))


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "HS256", "ed25519", ""])
def test_algorithm_other_than_the_keys_own_is_refused(alg: str) -> None:
    with pytest.raises(BundleUnknownSignerError):
        opened(signed(payload(), alg=alg))


def test_key_that_states_another_algorithm_is_not_used() -> None:
    with pytest.raises(BundleUnknownSignerError):
        open_bundle(signed(payload()), trusted_keys={"ed": {**ED.jwk, "alg": "ES256"}}, now=NOW)


@pytest.mark.parametrize("jwk", [{}, {"kty": "oct", "k": "AA"}, {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}])
def test_key_of_another_kind_is_not_used(jwk: dict[str, str]) -> None:
    with pytest.raises(BundleUnknownSignerError):
        open_bundle(signed(payload()), trusted_keys={"ed": jwk}, now=NOW)


@pytest.mark.parametrize("changed", [{"x": "AA"}, {"x": EC.jwk["y"]}, {"y": ""}])
def test_key_off_the_curve_is_refused_cleanly(changed: dict[str, str]) -> None:
    with pytest.raises(BundleCorruptError):
        open_bundle(signed(payload(), EC), trusted_keys={"ec": {**EC.jwk, **changed}}, now=NOW)


def test_unsigned_bundle_is_refused() -> None:
    with pytest.raises(BundleUnsignedError):
        opened(signed(payload(), alg="none"))
    members = json.loads(signed(payload()))
    with pytest.raises(BundleUnsignedError):
        opened(canonical_bytes({**members, "signature": ""}))


@pytest.mark.parametrize("signature", [bytes(64), b"\xff" * 64, b"\x01", bytes(63), bytes(65)])
@pytest.mark.parametrize("key", [EC, ED], ids=["ES256", "Ed25519"])
def test_blank_or_misshapen_signature_is_refused(key: BundleKey, signature: bytes) -> None:
    with pytest.raises(BundleCorruptError):
        opened(signed(payload(), replace(key, sign=lambda _data: signature)))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "POLICY-BUNDLE+JWS"},
        {"typ": "application/policy-bundle+jws"},
        {"typ": None},
        {"crit": ["exp"]},
        {"jwk": dict(ED.jwk)},
        {"jku": "https://evil.example/keys"},
        {"x5c": []},
        {"b64": False},
        {"kid": 1},
    ],
)
def test_header_with_anything_else_is_refused(header: dict[str, object]) -> None:
    with pytest.raises(BundleCorruptError):
        opened(signed(payload(), **header))


def test_duplicate_members_are_refused_in_envelope_header_and_payload() -> None:
    data = signed(payload())
    with pytest.raises(BundleCorruptError):
        opened(data[:-1] + b',"payload":"e30"}')
    doubled = b'{"alg":"Ed25519","kid":"x","kid":"ed","typ":"policy-bundle+jws"}'
    with pytest.raises(BundleCorruptError):
        opened(flattened(ED, encode_base64url(doubled), encode_base64url(payload())))
    with pytest.raises(BundleCorruptError):
        opened(signed(payload()[:-1] + b',"version":8}'))


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace(b'"version":7', b'"version": 7'),
        lambda text: text.replace(b'"version":7', b'"version":7.0'),
        lambda text: text.replace(b'"version":7', b'"version":0'),
        lambda text: text.replace(b'"version":7', b'"version":"7"'),
        lambda text: text.replace(b"policy/v1", b"policy/v2"),
        lambda text: text.replace(b'"read"', b'"Read"'),
        lambda text: text.replace(b'"effect":"allow"', b'"effect":"permit"'),
        lambda text: text.replace(b'"effect":"allow"', b'"effect":"allow","extra":1'),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text + b"\n",
        lambda _text: b"",
        lambda _text: b"[" * 100_000,
    ],
)
def test_payload_that_is_not_a_canonical_policy_is_refused_although_signed(changed: Callable[[bytes], bytes]) -> None:
    assert changed(payload()) != payload()
    with pytest.raises(BundleCorruptError):
        opened(signed(changed(payload())))


def test_padding_and_unused_bits_of_base64_are_refused() -> None:
    members = json.loads(signed(payload()))
    last = members["signature"][-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = alphabet[alphabet.index(last) ^ 1]
    for signature in (members["signature"] + "==", members["signature"][:-1] + twin, members["signature"] + "\n"):
        with pytest.raises(BundleCorruptError):
            opened(canonical_bytes({**members, "signature": signature}))


@pytest.mark.parametrize("member", ["header", "signatures"])
def test_other_jws_serialisations_are_refused(member: str) -> None:
    members = json.loads(signed(payload()))
    with pytest.raises(BundleCorruptError):
        opened(canonical_bytes({**members, member: {}}))
    with pytest.raises(BundleCorruptError):
        opened(f"{members['protected']}.{members['payload']}.{members['signature']}".encode())


def test_truncated_bundle_is_refused_at_every_length() -> None:
    data = signed(payload())
    for length in range(len(data)):
        with pytest.raises(BundleRefusedError):
            opened(data[:length])


@pytest.mark.parametrize("key", [EC, ED], ids=["ES256", "Ed25519"])
def test_one_flipped_bit_anywhere_is_refused(key: BundleKey) -> None:
    data = signed(payload(), key)
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(BundleRefusedError):
                opened(bytes(flipped))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"\xff", b"{" * 100_000, b" " * (MAX_BUNDLE_BYTES + 1)])
def test_bytes_that_are_no_bundle_are_refused(data: bytes) -> None:
    with pytest.raises(BundleCorruptError):
        opened(data)


def test_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(BundleCorruptError):
        opened(signed(payload()), now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("version", [0, -1, True, 2**53])
def test_payload_needs_a_version_that_counts(version: int) -> None:
    with pytest.raises(BundleSigningError):
        payload(version=version)


def test_payload_needs_a_life_with_time_zones() -> None:
    for start, end in ((NOW, NOW), (NOW + HOUR, NOW), (NOW.replace(tzinfo=None), NOW), (NOW, NOW.replace(tzinfo=None))):
        with pytest.raises(BundleSigningError):
            build_payload(POLICY, version=1, not_before=start, expires_at=end)


def test_signer_must_return_the_jose_form_and_name_its_key_and_algorithm() -> None:
    with pytest.raises(BundleSigningError, match="not DER"):
        sign_bundle(payload(), key_id="ec", algorithm="ES256", sign=lambda _data: bytes(70))
    with pytest.raises(BundleSigningError, match="use one of ES256, Ed25519, ES384, PS256"):
        sign_bundle(payload(), key_id="ec", algorithm="EdDSA", sign=EC.sign)
    with pytest.raises(BundleSigningError, match="key id"):
        sign_bundle(payload(), key_id="", algorithm="Ed25519", sign=ED.sign)
