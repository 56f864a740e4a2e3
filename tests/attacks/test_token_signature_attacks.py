"""Signatures and keys at the edge of their mathematics, in the place of a hardware token's."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from support.dpop import DpopClient
from support.verifier import ORIGIN, TOKEN_FACTOR, Answer, UnsafeTestKey, World, b64, unb64

from keyrung_verifier.credentials import PublicKey
from keyrung_verifier.errors import CredentialError

# Order and field prime of P-256 (SP 800-186 section 3.2.1.3); field prime, order and d of Ed25519 (RFC 8032 5.1).
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, FIELD) % FIELD
TOP = 2**256 - 1

Point = tuple[int, int]


def respond(world: World, challenge_id: str, credential_id: str, signature: str) -> Answer:
    answer = {"factor": TOKEN_FACTOR, "credential_id": credential_id, "origin": ORIGIN, "signature": signature}
    return world.respond(challenge_id, answer)


def text_of(world: World, challenge_id: str) -> bytes:
    return unb64(world.view(challenge_id).body["factors"][0]["signing_input"])


@pytest.mark.parametrize("r", [0, 1, N - 1, N, N + 1, P - N, P, TOP])
@pytest.mark.parametrize("s", [0, 1, N - 1, N, TOP])
def test_numbers_at_the_edge_are_no_signature(world: World, r: int, s: int) -> None:
    key = world.enrol_token()

    answer = respond(world, world.challenge_id(), key.key_id, b64(r.to_bytes(32) + s.to_bytes(32)))

    assert answer.status == 403
    assert world.last_reason("challenge.answered") == "wrong_signature"


def test_a_signature_whose_numbers_were_moved_by_the_order_is_none(world: World) -> None:
    key = world.enrol_token()
    challenge_id = world.challenge_id()
    signature = key.sign(text_of(world, challenge_id))
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])

    for moved in ((r + N, s), (r, s + N), (s, r), (N - r, s)):
        if max(moved) <= TOP:
            bent = b"".join(number.to_bytes(32) for number in moved)
            assert respond(world, world.challenge_id(), key.key_id, b64(bent)).status == 403
    assert respond(world, challenge_id, key.key_id, b64(signature)).status == 200


@pytest.mark.parametrize("form", ["der", "short", "long", "padded", "standard alphabet", "empty bits"])
def test_a_signature_in_another_form_is_refused_though_its_numbers_are_right(world: World, form: str) -> None:
    key = world.enrol_token()
    challenge_id = world.challenge_id()
    signature = key.sign(text_of(world, challenge_id))
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    texts = {
        "der": b64(der),
        "short": b64(signature[:-1]),
        "long": b64(signature + b"\0"),
        "padded": b64(signature) + "==",
        "standard alphabet": b64(signature)[:-1] + "+",
        # The last character carries four bits that no byte uses; only zeros are right there.
        "empty bits": b64(signature)[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[b64(signature)[-1]],
    }

    assert respond(world, challenge_id, key.key_id, texts[form]).status == 403
    assert world.last_reason("challenge.answered") == "signature_form"


# -- Ed25519 ------------------------------------------------------------------------------------------------------


def added(first: Point, second: Point) -> Point:
    """Add two points (RFC 8032 section 5.1.4, in affine coordinates)."""
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2 % FIELD
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, FIELD) % FIELD
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, FIELD) % FIELD


def times(factor: int, point: Point) -> Point:
    result = (0, 1)
    while factor:
        if factor & 1:
            result = added(result, point)
        point, factor = added(point, point), factor >> 1
    return result


def points() -> Iterator[Point]:
    """Yield points of the curve, of which every second or so has a part of small order."""
    for y in range(2, 1000):
        square = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
        x = pow(square, (FIELD + 3) // 8, FIELD)
        for root in (x, x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD):
            if root * root % FIELD == square:
                yield root, y


def small_order() -> list[bytes]:
    """Return every encoding of the eight points whose eighth multiple is nothing, and 0 and 1 as p and p + 1."""
    generator = next(found for point in points() if times(4, found := times(ORDER, point)) != (0, 1))
    group = [times(factor, generator) for factor in range(8)]
    assert len(set(group)) == 8
    numbers = {y for _, y in group}
    numbers |= {y + FIELD for y in numbers if y + FIELD < 2**255}
    return sorted((y | sign << 255).to_bytes(32, "little") for y in numbers for sign in (0, 1))


SMALL_ORDER = small_order()


@pytest.mark.parametrize("x", SMALL_ORDER, ids=bytes.hex)
def test_a_key_of_small_order_under_which_anything_verifies_is_no_key(world: World, x: bytes) -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(x)}
    client = DpopClient(world)
    world.enrol_totp()
    challenge_id = world.challenge_id(session=client.session())

    with pytest.raises(CredentialError, match="valid"):
        world.credentials.add_keys([PublicKey(subject_id="mallory", public_jwk=jwk)])
    proof = client.answer_proof(challenge_id, header={"alg": "Ed25519", "jwk": jwk})
    assert client.respond(challenge_id, "000000", proof).status == 400
    assert world.last_reason("challenge.answered") == "dpop_key_form"


def test_an_ed25519_signature_moved_by_the_order_is_none(world: World) -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}
    held = world.credentials.add_token("alice", public_jwk=jwk, evidence={}, prove=key.sign)
    challenge_id = world.challenge_id()
    signature = key.sign(text_of(world, challenge_id))
    moved = int.from_bytes(signature[32:], "little") + ORDER

    bent = signature[:32] + moved.to_bytes(32, "little")
    assert respond(world, challenge_id, held.credential_id, b64(bent)).status == 403
    assert respond(world, challenge_id, held.credential_id, b64(bytes(64))).status == 403
    assert respond(world, challenge_id, held.credential_id, b64(signature)).status == 200


def test_an_algorithm_is_the_keys_own(world: World) -> None:
    """A signature of one curve is none under a key of the other that has the same bytes."""
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    p256 = UnsafeTestKey("x")
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}
    held = world.credentials.add_token("alice", public_jwk=jwk, evidence={}, prove=key.sign)
    challenge_id = world.challenge_id()

    signature = p256.sign(text_of(world, challenge_id))
    assert respond(world, challenge_id, held.credential_id, b64(signature)).status == 403
