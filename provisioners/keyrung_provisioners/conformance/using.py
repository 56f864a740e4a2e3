"""What keys are for: signatures that verify, and secrets that only their key and context open."""

from keyrung_provisioners.conformance.trial import Trial, expect, expect_error
from keyrung_provisioners.encoding import verifies
from keyrung_provisioners.errors import KeyRefusedError
from keyrung_provisioners.uri import KeyUri

_MESSAGES = (b"", b"a message", bytes(range(256)) * 400)
_SECRET = b"20 bytes of a seed.."


def signs(trial: Trial) -> None:
    """A reopened key signs messages of any length, and `cryptography` verifies the signatures."""
    spec, made = trial.key()
    manager = trial.other()
    for message in _MESSAGES:
        signature = manager.sign(KeyUri.parse(str(spec.uri)), message)
        expect(len(signature) == trial.row.signature_bytes, f"a signature has {len(signature)} bytes")
        expect(
            verifies(made.public_key_pem or "", message, signature),
            f"the signature over {len(message)} bytes does not verify",
        )


def altered_signatures_do_not_verify(trial: Trial) -> None:
    """A signature is over its message only, and altered it is none."""
    spec, made = trial.key()
    message = b"a message"
    signature = trial.manager.sign(spec.uri, message)
    pem = made.public_key_pem or ""
    expect(not verifies(pem, message + b"!", signature), "the signature verifies over another message")
    altered = signature[:-1] + bytes([signature[-1] ^ 1])
    expect(not verifies(pem, message, altered), "an altered signature verifies")


def a_sealing_key_signs_nothing(trial: Trial) -> None:
    """A key that seals refuses to sign."""
    spec, _ = trial.key()
    expect_error(KeyRefusedError, lambda: trial.manager.sign(spec.uri, b"a message"), "a sealing key signed")


def a_signing_key_seals_nothing(trial: Trial) -> None:
    """A key that signs refuses to seal."""
    spec, _ = trial.key()
    expect_error(
        KeyRefusedError, lambda: trial.manager.seal(spec.uri, _SECRET, context=b"c"), "a signing key sealed a secret"
    )


def seals(trial: Trial) -> None:
    """What a key seals, the reopened key opens; sealing twice gives two texts."""
    spec, _ = trial.key()
    sealed = trial.manager.seal(spec.uri, _SECRET, context=b"person 1")
    opened = trial.other().open(KeyUri.parse(str(spec.uri)), sealed, context=b"person 1")
    expect(opened == _SECRET, "what was opened is not what was sealed")
    again = trial.manager.seal(spec.uri, _SECRET, context=b"person 1")
    expect(sealed != again, "sealing the same secret twice gave the same text")


def altered_texts_do_not_open(trial: Trial) -> None:
    """A sealed text opens unaltered, under its context and by its key, or not at all."""
    spec, _ = trial.key()
    sealed = trial.manager.seal(spec.uri, _SECRET, context=b"person 1")
    for context in (b"person 2", b""):
        _expect_closed(trial, spec.uri, sealed, context, "a text opened under another context")
    middle = len(sealed) - 10
    flipped = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
    for altered in (flipped, sealed[:-4], sealed[5:], sealed + "AAAA", ""):
        _expect_closed(trial, spec.uri, altered, b"person 1", "an altered text opened")
    other, _ = trial.make()
    _expect_closed(trial, other.uri, sealed, b"person 1", "another key opened the text")


def renewed_in_place(trial: Trial) -> None:
    """A renewed key stays the same to those who ask, and opens what was sealed before and after."""
    spec, made = trial.make()
    before = trial.manager.seal(spec.uri, _SECRET, context=b"c")
    renewed = trial.manager.rotate(spec.uri)
    expect(renewed.fingerprint == made.fingerprint, "renewing the key changed its fingerprint")
    after = trial.manager.seal(spec.uri, _SECRET, context=b"c")
    for sealed in (before, after):
        expect(trial.other().open(spec.uri, sealed, context=b"c") == _SECRET, "a sealed text did not open")


def _expect_closed(trial: Trial, uri: KeyUri, sealed: str, context: bytes, what: str) -> None:
    expect_error(KeyRefusedError, lambda: trial.manager.open(uri, sealed, context=context), what)
