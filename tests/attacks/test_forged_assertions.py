"""Assertions that are forged, bent or spelled otherwise, most of them with a good signature under them."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from support.verifier import ASSERTION_KEY, UnsafeTestKey, World, b64, unb64


@pytest.fixture
def assertion(world: World) -> str:
    return world.step_up(world.enrol_totp())


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = assertion.split(".")
    return json.loads(unb64(header)), json.loads(unb64(payload))


def _signed(header: object, payload: object, *, key: UnsafeTestKey = ASSERTION_KEY) -> str:
    texts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = ".".join(b64(text) for text in texts)
    return f"{signing_input}.{b64(key.sign(signing_input.encode()))}"


def _reason(world: World, assertion: str) -> str | None:
    answer = world.spend(assertion)
    assert answer.status == 403, answer.body
    assert answer.body["error"] == "assertion_refused"
    return world.last_reason("assertion.spent")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"typ": "JWT"}, "type"),
        ({"typ": "at+jwt"}, "type"),
        ({"typ": "STEPUP+JWT"}, "type"),
        ({"alg": "none"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": "ES384"}, "algorithm"),
        ({"alg": ["ES256"]}, "algorithm"),
        ({"kid": "unknown"}, "unknown_key"),
        ({"kid": "../../etc/passwd"}, "unknown_key"),
        ({"kid": ["x"]}, "unknown_key"),
        ({"jku": "https://evil.example/keys"}, "header_members"),
        ({"jwk": ASSERTION_KEY.public_jwk}, "header_members"),
        ({"x5u": "https://evil.example/cert"}, "header_members"),
        ({"x5c": ["MII"]}, "header_members"),
        ({"crit": ["exp"]}, "header_members"),
        ({"b64": False}, "header_members"),
        ({"zip": "DEF"}, "header_members"),
        ({"cty": "JWT"}, "header_members"),
    ],
)
def test_a_header_that_is_not_the_exact_one_is_refused_though_well_signed(
    world: World, assertion: str, changes: dict[str, Any], reason: str
) -> None:
    header, payload = _parts(assertion)

    assert _reason(world, _signed(header | changes, payload)) == reason


def test_a_header_without_type_is_refused(world: World, assertion: str) -> None:
    header, payload = _parts(assertion)
    del header["typ"]

    assert _reason(world, _signed(header, payload)) == "header_members"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example"}, "issuer"),
        ({"aud": ["https://api.example"]}, "wrong_shape"),
        ({"aud": "https://api.example/"}, "audience"),
        ({"exp": "1800000000"}, "wrong_shape"),
        ({"exp": 1800000000.5}, "wrong_shape"),
        ({"exp": True}, "wrong_shape"),
        ({"exp": None}, "wrong_shape"),
        ({"amr": []}, "wrong_shape"),
        ({"amr": "otp"}, "wrong_shape"),
        ({"sub": ""}, "wrong_shape"),
        ({"admin": True}, "wrong_shape"),
    ],
)
def test_claims_that_are_not_the_exact_ones_are_refused_though_well_signed(
    world: World, assertion: str, changes: dict[str, Any], reason: str
) -> None:
    header, payload = _parts(assertion)

    assert _reason(world, _signed(header, payload | changes)) == reason


@pytest.mark.parametrize(
    "claim",
    [
        "iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti", "auth_time", "acr", "amr", "request_digest",
        "policy_digest", "action",
    ],
)  # fmt: skip
def test_an_assertion_without_a_claim_is_refused(world: World, assertion: str, claim: str) -> None:
    header, payload = _parts(assertion)
    del payload[claim]

    assert _reason(world, _signed(header, payload)) == "wrong_shape"


def test_an_assertion_that_lives_too_long_is_refused(world: World, assertion: str) -> None:
    header, payload = _parts(assertion)

    assert _reason(world, _signed(header, payload | {"exp": payload["iat"] + 301})) == "life"


@pytest.mark.parametrize("claim", ["iat", "nbf", "auth_time"])
def test_an_assertion_from_beyond_the_clock_skew_is_refused(world: World, assertion: str, claim: str) -> None:
    header, payload = _parts(assertion)

    assert _reason(world, _signed(header, payload | {claim: payload[claim] + 61, "exp": payload["exp"] + 61})) == (
        "not_yet_valid"
    )


def test_an_unsigned_assertion_is_refused(world: World, assertion: str) -> None:
    header, payload, _ = assertion.split(".")

    assert _reason(world, f"{header}.{payload}.") == "signature"
    assert _reason(world, f"{header}.{payload}") == "not_compact"


def test_the_public_key_as_hmac_secret_is_refused(world: World, assertion: str) -> None:
    header, payload = _parts(assertion)
    signing_input = ".".join(b64(json.dumps(part).encode()) for part in (header | {"alg": "HS256"}, payload))
    secret = json.dumps(ASSERTION_KEY.public_jwk).encode()
    tag = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()

    assert _reason(world, f"{signing_input}.{b64(tag)}") == "algorithm"


def test_the_signature_of_a_foreign_key_under_a_known_key_id_is_refused(world: World, assertion: str) -> None:
    header, payload = _parts(assertion)

    assert _reason(world, _signed(header, payload, key=UnsafeTestKey("mallory"))) == "signature"


@pytest.mark.parametrize(
    "signature", [b"\0" * 64, b"\xff" * 64, b"\0" * 63, b"\0" * 65, b"\x30\x06\x02\x01\x01\x02\x01\x01"]
)
def test_degenerate_signatures_are_refused(world: World, assertion: str, signature: bytes) -> None:
    header, payload, _ = assertion.split(".")

    assert _reason(world, f"{header}.{payload}.{b64(signature)}") == "signature"


def test_a_changed_claim_under_the_old_signature_is_refused(world: World, assertion: str) -> None:
    header, payload, signature = assertion.split(".")
    changed = json.loads(unb64(payload)) | {"acr": "phrh"}

    assert _reason(world, f"{header}.{b64(json.dumps(changed).encode())}.{signature}") == "signature"


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b'{"alg":"none","alg":"ES256"', b""),
        (b'{"typ":"JWT","typ":"stepup+jwt"', b""),
        (b"", b'{"acr":"phrh","acr":"urn:keyrung:otp"'),
        (b"", b'{"exp":NaN'),
        (b"", b'{"exp":1e999'),
        (b"", b'{"sub":"\\ud800"'),
        (b"\xef\xbb\xbf{", b""),
        (b"", b"\xef\xbb\xbf{"),
        (b"", b'{"x":' + b"[" * 2000 + b"]" * 2000),
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused_though_well_signed(
    world: World, assertion: str, header: bytes, payload: bytes
) -> None:
    real_header, real_payload = _parts(assertion)

    def spliced(start: bytes, real: dict[str, Any]) -> bytes:
        text = json.dumps(real).encode()
        return text if not start else start + (b"," if start[-1:] != b"{" else b"") + text[1:]

    bent = _signed(spliced(header, real_header), spliced(payload, real_payload))

    assert _reason(world, bent) in {"not_json", "too_deep", "lone_surrogate"}


@pytest.mark.parametrize("bend", [
    lambda text: text + "=",
    lambda text: text.replace(".", ".\n", 1),
    lambda text: " " + text,
    lambda text: text + ".",
    lambda text: text + "." + text,
    lambda text: text[:-1] + ("B" if text[-1] != "B" else "C"),
    lambda text: "a" * 9000,
    lambda text: "",
    lambda text: "..",
    lambda text: text.replace("-", "+").replace("_", "/") + "+",
])  # fmt: skip
def test_another_spelling_of_an_assertion_is_refused(world: World, assertion: str, bend: Any) -> None:
    assert world.spend(bend(assertion)).status in {400, 403}
    assert world.spend(assertion).status == 200


def test_a_bundle_signature_or_checkpoint_is_no_assertion(world: World) -> None:
    checkpoint = world.checkpoint_path.read_text().splitlines()[0]

    assert _reason(world, checkpoint) == "type"
