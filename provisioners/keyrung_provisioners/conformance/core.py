"""The life of any key: made, read back, found again, kept apart from others, destroyed."""

from dataclasses import replace

from keyrung_provisioners import encoding
from keyrung_provisioners.api import KeyDescription, KeySpec
from keyrung_provisioners.conformance.trial import AnyManager, Trial, expect, expect_error
from keyrung_provisioners.errors import KeyConflictError, KeyMissingError
from keyrung_provisioners.uri import KeyUri

_DATA = b"a message"


def made_as_declared(trial: Trial) -> None:
    """The key has the algorithm and the protective attributes that were declared, and a fingerprint that is its own."""
    spec, made = trial.key()
    expect((made.uri, made.algorithm) == (spec.uri, spec.algorithm), f"the store made a {made.algorithm} key")
    _expect_ours(trial.manager, spec, made)
    if made.public_key_pem is None:
        expect(trial.row.symmetric, "the store answered no public key")
        return
    expect(encoding.public_algorithm(made.public_key_pem) == trial.row, "the public key is for another algorithm")
    expect(made.fingerprint == encoding.thumbprint(made.public_key_pem), "the fingerprint is not that of RFC 7638")


def found_by_uri(trial: Trial) -> None:
    """Another manager, given the URI as text, reads the same key."""
    spec, made = trial.key()
    found = trial.other().describe(KeyUri.parse(str(spec.uri)))
    expect(found == made, "the key reads back differently")


def listed(trial: Trial) -> None:
    """The vault names the key among its keys."""
    spec, _ = trial.key()
    expect(spec.uri.name in trial.manager.names(trial.vault), "the vault does not list the key")


def another_algorithm_is_told(trial: Trial) -> None:
    """A declaration of another algorithm does not fit the key."""
    spec, made = trial.key()
    for other in sorted(trial.manager.algorithms - {spec.algorithm}):
        told = trial.manager.deviations(replace(spec, algorithm=other), made)
        expect(told, f"the key passes for one of {other}")


def name_is_taken(trial: Trial) -> None:
    """Nothing is made under a name that is taken, by this claim or by another, and the key stays."""
    spec, made = trial.key()
    for again in (spec, replace(spec, claim_id=trial.random(len(spec.claim_id)))):
        expect_error(KeyConflictError, lambda: trial.manager.create(again), "a second key was made under the name")  # noqa: B023 - called at once
    expect(trial.manager.describe(spec.uri) == made, "the key changed when a second one was asked for")


def adopted_after_an_interruption(trial: Trial) -> None:
    """A key whose maker was interrupted before it had the answer is recognised as the claimed one."""
    spec = trial.spec()
    trial.other().create(spec)  # the answer is lost
    manager = trial.other()
    found = manager.describe(spec.uri)
    _expect_ours(manager, spec, found)
    expect_error(KeyConflictError, lambda: manager.create(spec), "the claimed key was made a second time")


def missing_is_missing(trial: Trial) -> None:
    """A key that is not there is missing for every operation, and asking for it makes none."""
    uri = trial.spec().uri
    expect_error(KeyMissingError, lambda: trial.manager.describe(uri), "a key that was never made was described")
    expect_error(KeyMissingError, lambda: _use(trial, trial.manager, uri), "a key that was never made was used")
    expect_error(KeyMissingError, lambda: trial.manager.describe(uri), "using a missing key made it")


def destroyed_is_gone(trial: Trial) -> None:
    """A destroyed key is gone for those who used it before, and destroying it again is no error."""
    spec, _ = trial.make()
    _use(trial, trial.manager, spec.uri)
    other = trial.other()
    other.destroy(spec.uri)
    other.destroy(spec.uri)
    for manager in (trial.manager, other):
        expect_error(KeyMissingError, lambda: manager.describe(spec.uri), "a destroyed key was described")  # noqa: B023 - called at once
    expect_error(KeyMissingError, lambda: _use(trial, trial.manager, spec.uri), "a destroyed key was used")


def _expect_ours(manager: AnyManager, spec: KeySpec, found: KeyDescription) -> None:
    expect(found.claim_id in {None, spec.claim_id}, "the key carries another claim")
    wrong = manager.deviations(spec, found)
    expect(not wrong, f"the key falls short in {', '.join(wrong)}")


def _use(trial: Trial, manager: AnyManager, uri: KeyUri) -> None:
    if trial.row.symmetric:
        manager.seal(uri, _DATA, context=b"")
    else:
        manager.sign(uri, _DATA)
