"""What the policy tests share: a compiler of texts, the sample policy, and signing keys made for one run."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from keyrung_policies.bundle import build_payload, sign_bundle
from keyrung_policies.compile import Compiled, compile_folder, compile_texts
from keyrung_policies.jws import encode_base64url
from keyrung_policies.policy_set import PolicySet

CATALOG = Path(__file__).parents[2] / "policies" / "catalog"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

CompileText = Callable[[str], Compiled]
MakeBundle = Callable[..., bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleKey:
    """A private key of one test run and what a verifier knows of it."""

    key_id: str
    algorithm: str
    jwk: dict[str, str]
    sign: Callable[[bytes], bytes]


@pytest.fixture
def compile_text() -> CompileText:
    return lambda text: compile_texts({"policy.yaml": text.encode()})


@pytest.fixture(scope="session")
def bank() -> Compiled:
    return compile_folder(CATALOG)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def es256_key() -> BundleKey:
    private = generate_private_key(SECP256R1())
    numbers = private.public_key().public_numbers()
    coordinates = {name: encode_base64url(n.to_bytes(32)) for name, n in (("x", numbers.x), ("y", numbers.y))}
    return BundleKey(
        key_id="es256-key",
        algorithm="ES256",
        jwk={"kty": "EC", "crv": "P-256", **coordinates},
        sign=lambda data: _raw_signature(private, data),
    )


def _raw_signature(private: EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(private.sign(data, ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


@pytest.fixture(scope="session")
def ed25519_key() -> BundleKey:
    private = Ed25519PrivateKey.generate()
    public = encode_base64url(private.public_key().public_bytes_raw())
    return BundleKey(
        key_id="ed25519-key",
        algorithm="Ed25519",
        jwk={"kty": "OKP", "crv": "Ed25519", "x": public},
        sign=private.sign,
    )


@pytest.fixture
def small_policy(compile_text: CompileText) -> PolicySet:
    text = "keyrung: policy/v1\ndefault: deny\nrules:\n  - {id: read, actions: [a.read], allow: true}\n"
    return compile_text(text).policy


@pytest.fixture
def make_bundle(small_policy: PolicySet, ed25519_key: BundleKey) -> MakeBundle:
    def make(*, version: int = 7, key: BundleKey = ed25519_key, policy: PolicySet = small_policy) -> bytes:
        payload = build_payload(
            policy, version=version, not_before=NOW - timedelta(hours=1), expires_at=NOW + timedelta(hours=1)
        )
        return sign_bundle(payload, key_id=key.key_id, algorithm=key.algorithm, sign=key.sign)

    return make
