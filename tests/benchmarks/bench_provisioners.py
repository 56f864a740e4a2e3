"""`make bench`: what the provisioners add to a bare call, and what importing them costs. Prints ratios.

Nothing is asserted. Single calls of ours and of the bare kind alternate, so that a busy machine slows both sides; a
ratio is that of the medians of one block, and its spread is that of the blocks.
"""

import base64
import hashlib
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hvac
import pytest
import requests
from pkcs11 import Attribute, ObjectClass
from pkcs11.mechanisms import Mechanism
from support.openbao import OpenBaoServer
from support.raw_keys import raw_session
from support.softhsm import SoftHsmToken
from support.stores import broad_settings, spec, token_manager, vault_manager

from keyrung_provisioners.uri import KeyUri

_BLOCKS = 12
_TOKEN_PAIRS = 100  # of calls in a block
_TRANSIT_PAIRS = 20
_PROCESSES = 5
_DATA = b"a message of some length, as the claims of an assertion are"


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _report(what: str, ours: Callable[[], object], bare: Callable[[], object], *, pairs: int) -> None:
    blocks = []
    for _ in range(_BLOCKS):
        block = [(_timed(ours), _timed(bare)) for _ in range(pairs)]
        blocks.append(tuple(statistics.median(pair[side] for pair in block) for side in (0, 1)))
    ratios = sorted(a / b for a, b in blocks)
    a, b = (statistics.median(block[side] for block in blocks) * 1000 for side in (0, 1))
    print(
        f"\n{what:<44} {a:8.3f} ms  bare {b:8.3f} ms"
        f"  ratio {statistics.median(ratios):5.2f} ({ratios[1]:.2f} to {ratios[-2]:.2f})"
    )


@pytest.mark.parametrize(("algorithm", "mechanism"), [("P-256", Mechanism.ECDSA), ("Ed25519", Mechanism.EDDSA)])
def test_a_signature_in_a_token(softhsm_token: SoftHsmToken, algorithm: str, mechanism: Mechanism) -> None:
    """Bare: the hash and the call of python-pkcs11 with a handle that is at hand."""
    manager, uri = token_manager(softhsm_token), KeyUri("pkcs11", softhsm_token.label, "policy-signing-one")
    manager.create(spec(uri, algorithm=algorithm))
    with raw_session(softhsm_token) as session:
        found = session.get_objects({Attribute.LABEL: uri.name, Attribute.CLASS: ObjectClass.PRIVATE_KEY})
        key = next(iter(list(found)))

        def bare() -> None:
            hashed = hashlib.sha256(_DATA).digest() if algorithm == "P-256" else _DATA
            key.sign(hashed, mechanism=mechanism)

        manager.sign(uri, _DATA)
        what = f"a {algorithm} signature in a token"
        _report(what, lambda: manager.sign(uri, _DATA), bare, pairs=_TOKEN_PAIRS)


@pytest.mark.parametrize("algorithm", ["P-256", "Ed25519"])
def test_a_signature_in_transit(openbao: OpenBaoServer, tmp_path: Path, algorithm: str) -> None:
    """Bare: hvac's own call over a connection that is kept open."""
    settings = broad_settings(openbao, tmp_path)
    manager, uri = vault_manager(settings), KeyUri("transit", "keyrung", f"policy-signing-{secrets.token_hex(6)}")
    manager.create(spec(uri, algorithm=algorithm))
    session = requests.Session()
    session.trust_env, session.verify = False, str(openbao.ca)
    token = Path(settings["transitToken"].removeprefix("file:")).read_text()
    client = hvac.Client(url=openbao.address, token=token, session=session)
    text = base64.b64encode(_DATA).decode()

    def bare() -> None:
        client.secrets.transit.sign_data(
            name=uri.name, hash_input=text, key_version=1, marshaling_algorithm="jws", mount_point=uri.vault
        )

    manager.sign(uri, _DATA)
    bare()
    what = f"a {algorithm} signature in Transit"
    _report(what, lambda: manager.sign(uri, _DATA), bare, pairs=_TRANSIT_PAIRS)


def test_importing_the_provisioners() -> None:
    """Which back ends were loaded is printed as well; times inside a process are those of its processor."""
    core = "from keyrung_provisioners import api, errors, registry, states, uri"
    every = "from keyrung_provisioners import algorithms, api, encoding, inventory, provision, registry, states, uri"

    def run(source: str) -> str:
        return subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout

    _report("core, beside `python -c pass`", lambda: run(core), lambda: run("pass"), pairs=_PROCESSES)
    for what, program in (
        ("the package alone", "import keyrung_provisioners"),
        ("core", core),
        ("all but back ends", every),
    ):
        inside = f"import sys, time; t = time.process_time(); {program}; print((time.process_time() - t) * 1000)"
        times_ms = sorted(float(run(inside)) for _ in range(_BLOCKS))
        loaded = run(f"import sys; {program}; print(*(n for n in sys.modules if '.backends.' in n))").split()
        print(
            f"importing {what:<20} {statistics.median(times_ms):6.1f} ms of processor"
            f" ({times_ms[0]:.1f} to {times_ms[-1]:.1f}); back ends loaded: {' '.join(loaded) or 'none'}"
        )
