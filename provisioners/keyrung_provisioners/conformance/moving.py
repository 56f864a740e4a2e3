"""Keys that leave their store wrapped, until they are locked, and keys that come in so."""

from dataclasses import replace
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keyrung_provisioners import encoding
from keyrung_provisioners.api import Custody, ImportOffer
from keyrung_provisioners.conformance import transport
from keyrung_provisioners.conformance.trial import Trial, expect, expect_error
from keyrung_provisioners.errors import KeyMissingError, KeyRefusedError
from keyrung_provisioners.escrow import proof

_DATA = b"a message"
_WRAPPING_KEY_BYTES = 32
_RSA_BITS = 3072


def sole_is_not_wrapped(trial: Trial) -> None:
    """A key that was not declared escrowed is never wrapped."""
    spec, _ = trial.key()
    wrapping_key = bytearray(trial.random(_WRAPPING_KEY_BYTES))
    expect_error(KeyRefusedError, lambda: trial.manager.wrap(spec.uri, wrapping_key), "a sole key was wrapped")


def sole_is_not_exported(trial: Trial) -> None:
    """A key that was not declared portable never leaves for another store."""
    spec, _ = trial.key()
    _, offer = _offered(trial)
    expect_error(KeyRefusedError, lambda: trial.manager.export(spec.uri, offer), "a sole key was exported")


def wrapped_key_rehearses(trial: Trial) -> None:
    """A wrapped key proves itself inside the store without staying there, and opens by its wrapping key alone."""
    spec, wrapping_key, wrapped = trial.wrapped()
    made = trial.manager.describe(spec.uri)
    expect(wrapped.fingerprint == made.fingerprint, "another key was wrapped")
    proof.rehearse(wrapped, trial.manager, trial.vault, wrapping_key, challenge=trial.random(proof.CHALLENGE_BYTES))
    other, elsewhere = bytearray(trial.random(_WRAPPING_KEY_BYTES)), trial.spec().uri
    expect_error(
        KeyRefusedError,
        lambda: trial.manager.rehearse(trial.vault, wrapped, other, _DATA),
        "another wrapping key opened the key",
    )
    expect_error(
        KeyRefusedError,
        lambda: trial.manager.import_wrapped(elsewhere, wrapped, other),
        "another wrapping key opened the key",
    )
    expect_error(KeyMissingError, lambda: trial.manager.describe(elsewhere), "a refused import left a key")


def locked_key_leaves_no_more(trial: Trial) -> None:
    """Once locked, a key that was declared escrowed cannot be wrapped again."""
    spec, wrapping_key, _ = trial.wrapped()
    locked = trial.manager.lock(spec.uri)
    wrong = trial.manager.deviations(replace(spec, custody=Custody.ESCROWED), locked)
    expect(not wrong, f"the locked key falls short in {', '.join(wrong)}")
    expect_error(KeyRefusedError, lambda: trial.manager.wrap(spec.uri, wrapping_key), "a locked key was wrapped")


def wrapped_key_comes_back(trial: Trial) -> None:
    """A destroyed key comes back from its wrapped form as the same key, locked; what it sealed opens again."""
    spec, wrapping_key, wrapped = trial.wrapped()
    sealed = trial.manager.seal(spec.uri, _DATA, context=b"c") if trial.row.symmetric else None
    trial.manager.destroy(spec.uri)
    restored = trial.manager.import_wrapped(spec.uri, wrapped, wrapping_key)
    expect(restored.fingerprint == wrapped.fingerprint, "another key came back")
    wrong = trial.manager.deviations(replace(spec, custody=Custody.RESTORED), restored)
    expect(not wrong, f"the restored key falls short in {', '.join(wrong)}")
    challenge = trial.random(proof.CHALLENGE_BYTES)
    proof.check_restored(wrapped, restored, trial.manager, challenge=challenge)
    if sealed is not None:
        expect(trial.manager.open(spec.uri, sealed, context=b"c") == _DATA, "what the key sealed does not open again")
    expect_error(KeyRefusedError, lambda: trial.manager.wrap(spec.uri, wrapping_key), "a restored key was wrapped")


def exported_to_another_store(trial: Trial) -> None:
    """A key that is declared portable leaves wrapped to the other store's key, and opens there as the same key."""
    spec, made = trial.make(custody=Custody.PORTABLE)
    receiver, offer = _offered(trial)
    opened = transport.opened_public_pem(trial.manager.export(spec.uri, offer), receiver, offer.hash_name)
    expect(opened == made.public_key_pem, "the other store opened another key")


def received_from_another_store(trial: Trial) -> None:
    """A key that was made elsewhere enters wrapped, unable to leave again; an altered one does not enter."""
    spec = trial.spec(custody=Custody.COPIED)
    foreign = transport.new_private_key(trial.row)
    offer = trial.manager.offer(spec, hash_name="SHA-256")
    wrapped = transport.wrapped_to(offer, foreign, random=trial.random)
    altered = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    expect_error(KeyRefusedError, lambda: trial.manager.receive(spec, offer, altered), "an altered key came in")
    expect_error(KeyMissingError, lambda: trial.manager.describe(spec.uri), "a refused key stayed")
    received = trial.manager.receive(spec, offer, wrapped)
    pem = transport.public_pem(foreign)
    expect(received.fingerprint == encoding.thumbprint(pem), "another key came in")
    wrong = trial.manager.deviations(spec, received)
    expect(not wrong, f"the received key falls short in {', '.join(wrong)}")
    expect(encoding.verifies(pem, _DATA, trial.manager.sign(spec.uri, _DATA)), "the received key signs as another")


def _offered(trial: Trial) -> tuple[rsa.RSAPrivateKey, ImportOffer]:
    """Return another store's key, and what that store offers."""
    key = _receiver()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    return key, ImportOffer(public_key_pem=pem, hash_name=trial.manager.export_hash(trial.vault))


@cache
def _receiver() -> rsa.RSAPrivateKey:
    """Return the other store's key: it opens scratch keys alone, so that one serves all."""
    return rsa.generate_private_key(65537, _RSA_BITS)
