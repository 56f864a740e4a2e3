"""The token: made once, with PINs that only files hold, and repaired from a half-made state."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pkcs11
import pytest
from support.softhsm import SoftHsmToken, make_token, point_at

from keyrung_infra.errors import InfraError
from keyrung_infra.local import token_program
from keyrung_infra.local.layout import SoftHsmLayout
from keyrung_infra.local.softhsm import SoftHsm
from keyrung_infra.tools import Tools


@pytest.fixture
def layout(tmp_path: Path) -> SoftHsmLayout:
    return SoftHsmLayout(folder=tmp_path / "softhsm")


@pytest.fixture
def softhsm(layout: SoftHsmLayout, tools: Tools) -> SoftHsm:
    return SoftHsm(layout, module=tools.softhsm_module, token_bytes=secrets.token_bytes)


def _labels(config: Path, tools: Tools) -> list[str]:
    """Ask SoftHSM's own tool."""
    done = subprocess.run(
        [str(tools.softhsm2_util), "--module", str(tools.softhsm_module), "--show-slots"],
        env={"SOFTHSM2_CONF": str(config)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(":", 1)[1].strip() for line in done.stdout.splitlines() if line.strip().startswith("Label:")]
    return [label for label in lines if label]


def test_token_opens_with_the_pin_in_the_file(softhsm_token: SoftHsmToken) -> None:
    token = pkcs11.lib(str(softhsm_token.module)).get_token(token_label=softhsm_token.label)
    with token.open(rw=True, user_pin=softhsm_token.pin) as session:
        public, _ = session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=False)
        assert public[pkcs11.Attribute.MODULUS_BITS] == 2048


def test_officer_pin_and_user_pin_differ(softhsm_token: SoftHsmToken) -> None:
    pins = {softhsm_token.pin, softhsm_token.layout.so_pin.read_text().strip()}
    assert [len(pin) for pin in pins] == [32, 32]


def test_up_is_repeatable_and_makes_one_token(softhsm: SoftHsm, layout: SoftHsmLayout, tools: Tools) -> None:
    assert softhsm.status().state == "missing"
    assert softhsm.up().state == "ready"
    pin = layout.pin.read_bytes()
    assert softhsm.up() == softhsm.status()
    assert layout.pin.read_bytes() == pin
    assert _labels(layout.config, tools) == ["keyrung"]


def test_every_file_is_readable_by_its_owner_only(softhsm: SoftHsm, layout: SoftHsmLayout) -> None:
    softhsm.up()
    wrong = [str(path) for path in layout.folder.rglob("*") if path.stat().st_mode & 0o077]
    assert wrong == []


def test_two_at_once_make_one_token(layout: SoftHsmLayout, tools: Tools) -> None:
    program = (
        "import secrets, sys; from pathlib import Path\n"
        "from keyrung_infra.local.layout import SoftHsmLayout; from keyrung_infra.local.softhsm import SoftHsm\n"
        "layout = SoftHsmLayout(folder=Path(sys.argv[1]))\n"
        "SoftHsm(layout, module=Path(sys.argv[2]), token_bytes=secrets.token_bytes).up()"
    )
    command = [sys.executable, "-c", program, str(layout.folder), str(tools.softhsm_module)]
    runs = [subprocess.Popen(command) for _ in range(4)]
    assert [run.wait(timeout=30) for run in runs] == [0, 0, 0, 0]
    assert _labels(layout.config, tools) == ["keyrung"]


def test_pins_are_on_no_command_line(softhsm: SoftHsm, layout: SoftHsmLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    environments: list[dict[str, str]] = []
    run = subprocess.run

    def record(command: list[str], **options: object) -> object:
        commands.append(command)
        environments.append(options["env"])  # type: ignore[arg-type]
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", record)
    softhsm.up()
    shown = json.dumps([commands, environments])
    assert len(commands) == 2
    assert layout.pin.read_text().strip() not in shown
    assert layout.so_pin.read_text().strip() not in shown


def test_token_without_user_pin_is_completed(softhsm: SoftHsm, layout: SoftHsmLayout, tools: Tools) -> None:
    """A run that died between the two steps of the making."""
    layout.tokens.mkdir(parents=True)
    layout.config.write_text(f"directories.tokendir = {layout.tokens}\nobjectstore.backend = file\n")
    layout.so_pin.write_text("0123456789\n")
    half = (
        "import sys; sys.path.insert(0, sys.argv[1]); import token_program\n"
        "module = token_program.Module(sys.argv[2])\n"
        "module.initialise_token(module.slots()[0], 'keyrung', b'0123456789')\n"
    )
    subprocess.run(
        [sys.executable, "-c", half, str(Path(token_program.__file__).parent), str(tools.softhsm_module)],
        env={"SOFTHSM2_CONF": str(layout.config)},
        check=True,
    )
    assert softhsm.status().state == "without_pin"
    assert softhsm.up().state == "ready"
    assert _labels(layout.config, tools) == ["keyrung"]


def test_folders_of_a_token_never_finished_are_no_harm(softhsm: SoftHsm, layout: SoftHsmLayout, tools: Tools) -> None:
    (layout.tokens / "71e3c8be-0000-0000-0000-000000000000").mkdir(parents=True)
    softhsm.up()
    assert _labels(layout.config, tools) == ["keyrung"]


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_lost_pin_is_an_error_and_the_token_is_kept(
    softhsm: SoftHsm, layout: SoftHsmLayout, tools: Tools, content: str | None
) -> None:
    softhsm.up()
    if content is None:
        layout.pin.unlink()
    else:
        layout.pin.write_text(content)
    with pytest.raises(
        InfraError, match=r"its PIN file .*/pin is missing or empty: restore the file, or run make clean"
    ):
        softhsm.up()
    assert _labels(layout.config, tools) == ["keyrung"]


def test_lost_configuration_is_written_again(softhsm: SoftHsm, layout: SoftHsmLayout) -> None:
    before = softhsm.up()
    layout.config.unlink()
    layout.module.unlink()
    assert softhsm.up() == before


def test_a_library_that_is_none_is_named(layout: SoftHsmLayout, tmp_path: Path) -> None:
    library = tmp_path / "libnothing.so"
    library.write_text("no library")
    softhsm = SoftHsm(layout, module=library, token_bytes=secrets.token_bytes)
    with pytest.raises(InfraError, match=r"the SoftHSM token keyrung .* cannot be used"):
        softhsm.up()


def test_tokens_in_folders_of_their_own_do_not_see_each_other(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [make_token(tmp_path / name, tools, label="keyrung") for name in ("one folder", "other")]
    assert tokens[0].pin != tokens[1].pin
    for token in tokens:
        point_at(token.config, token.module, monkeypatch)
        pkcs11.lib(str(token.module)).reinitialize()
        pkcs11.lib(str(token.module)).get_token(token_label="keyrung").open(user_pin=token.pin).close()
