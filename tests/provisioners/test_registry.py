"""Back ends are loaded on first use, and one that lacks its library does not disturb the others."""

import subprocess
import sys
from pathlib import Path

import pytest

from keyrung_provisioners.errors import InvalidSettingError
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import VaultUri

_LIBRARIES = {"pkcs11": "pkcs11", "transit": "hvac"}
_SETTINGS = {
    "pkcs11": {"pkcs11Module": "/nowhere.so", "pkcs11Pin": "env:NO_PIN"},
    "transit": {"transitAddress": "https://localhost", "transitToken": "env:NO_TOKEN", "transitCaFile": "ca.pem"},
}
_BLOCKED = """
import sys
from pathlib import Path

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from keyrung_provisioners.errors import BackendMissingError
from keyrung_provisioners.registry import open_manager

settings = eval(sys.argv[2])
for scheme in settings:
    try:
        print(scheme, open_manager(scheme, settings[scheme], root=Path("/")).scheme)
    except BackendMissingError as error:
        print(scheme, "missing:", error)
"""


@pytest.mark.parametrize("scheme", list(_LIBRARIES))
def test_a_missing_library_names_what_to_install_and_the_other_back_end_works(scheme: str) -> None:
    command = [sys.executable, "-c", _BLOCKED, _LIBRARIES[scheme], repr(_SETTINGS)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    expected = [
        f"{name} missing: the library behind {name}: is not installed: install keyrung[{name}]."
        if name == scheme
        else f"{name} {name}"
        for name in _SETTINGS
    ]
    assert printed == expected


def test_the_registry_alone_loads_no_back_end_and_no_library_of_one() -> None:
    program = "import sys, keyrung_provisioners.registry as r; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.partition(".")[0] in {"pkcs11", "hvac", "requests", "boto3"}] == []
    assert [name for name in loaded if name.startswith("keyrung_provisioners.backends")] == []


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidSettingError, match="pkcs11, transit"):
        open_manager("ftp", {}, root=Path("/"))


@pytest.mark.parametrize("scheme", list(_SETTINGS))
def test_each_setting_that_is_missing_is_named(scheme: str) -> None:
    for name in _SETTINGS[scheme]:
        rest = {key: value for key, value in _SETTINGS[scheme].items() if key != name}
        with pytest.raises(InvalidSettingError, match=f"{name} is not set"):
            open_manager(scheme, rest, root=Path("/"))


def test_a_secret_that_is_written_out_is_refused_when_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    settings = _SETTINGS["transit"] | {"transitToken": "hvs.secret"}
    manager = open_manager("transit", settings, root=tmp_path)
    with pytest.raises(InvalidSettingError, match="written out") as caught:
        manager.describe_vault(VaultUri("transit", "keyrung"))
    assert "hvs.secret" not in str(caught.value)
