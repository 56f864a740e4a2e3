"""What importing the provisioners loads: no back end, no store's library, and nothing slow for a rare case."""

import subprocess
import sys

_CORE = "from keyrung_provisioners import api, errors, registry, states, uri"
_ALL = "from keyrung_provisioners import algorithms, encoding, inventory, provision, sources"
_LIBRARIES = {"boto3", "botocore", "hvac", "requests", "pkcs11", "shamir_mnemonic", "pyrage"}


def _loaded(program: str) -> set[str]:
    source = f"import sys; {program}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_neither_a_back_end_nor_the_library_of_a_store_is_loaded() -> None:
    loaded = _loaded(f"{_CORE}; {_ALL}")
    assert not {name for name in loaded if name.startswith("keyrung_provisioners.backends")}
    assert not loaded & _LIBRARIES


def test_the_core_loads_neither_cryptography_nor_what_only_other_peoples_back_ends_need() -> None:
    assert not _loaded(_CORE) & {"cryptography", "importlib.metadata", "email.message"}
