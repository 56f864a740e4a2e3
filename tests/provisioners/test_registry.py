"""Back ends are loaded on first use, and one that lacks its library does not disturb the others."""

import os
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
    with pytest.raises(InvalidSettingError, match="awskms, pkcs11, software, transit"):
        open_manager("ftp", {}, root=Path("/"))


def _install(folder: Path) -> None:
    """Write a distribution with a back end of its own, as pip would leave it."""
    (folder / "vendor_hsm.py").write_text(
        "import re\n"
        "from keyrung_provisioners.uri import Scheme\n"
        "NAME = re.compile('[a-z]{1,8}')\n"
        "SCHEME = Scheme('box', 'slot', NAME, NAME)\n"
        "class Manager:\n"
        "    scheme = 'vendor'\n"
        "    @classmethod\n"
        "    def from_settings(cls, settings, *, root):\n"
        "        return cls()\n"
    )
    metadata = folder / "vendor_hsm-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor-hsm\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[keyrung.backends]\nvendor = vendor_hsm:Manager\npkcs11 = vendor_hsm:Manager\n"
        "[keyrung.uri_schemes]\nvendor = vendor_hsm:SCHEME\npkcs11 = vendor_hsm:SCHEME\n"
    )


def test_a_back_end_of_another_distribution_is_found_and_takes_no_place_of_ours(tmp_path: Path) -> None:
    _install(tmp_path)
    program = (
        "from pathlib import Path\n"
        "from keyrung_provisioners.registry import open_manager\n"
        "from keyrung_provisioners.uri import KeyUri\n"
        "uri = KeyUri.parse('vendor:slot=key;box=hsm')\n"
        "print(uri, uri.of_generation(2), open_manager(uri.scheme, {}, root=Path('/')).scheme)\n"
        "print(KeyUri.parse('pkcs11:token=T;object=L'))\n"
        "ours = open_manager('pkcs11', {'pkcs11Module': 'x', 'pkcs11Pin': 'env:P'}, root=Path('/'))\n"
        "print(type(ours).__module__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", program.replace("slot=key", "slot=k")]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert printed.returncode == 1
    assert "'k-g2' is no valid vendor slot" in printed.stderr  # the grammar of the scheme holds for generations too
    (tmp_path / "vendor_hsm.py").write_text(
        (tmp_path / "vendor_hsm.py").read_text().replace("[a-z]{1,8}", "[a-z0-9-]{1,8}")
    )
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert printed.stdout.splitlines() == [
        "vendor:box=hsm;slot=k vendor:box=hsm;slot=k-g2 vendor",
        "pkcs11:token=T;object=L",
        "keyrung_provisioners.backends.pkcs11",
    ]


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
