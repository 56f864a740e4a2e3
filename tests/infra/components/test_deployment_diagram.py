"""infra/README.md says of the components what they are."""

import re

from support.deployment_diagram import README, text, written
from support.project import REPOSITORY


def test_the_diagram_is_what_the_program_registers() -> None:
    assert written(README.read_text("utf-8")) == text()


def test_an_arrow_tells_of_a_right() -> None:
    drawn = text()

    assert "Function_verifier --> Key_assertion_signing_g1" in drawn
    assert "Function_verifier --> Key_audit_signing_g1" not in drawn
    assert "Table_store --> Function_archiver" in drawn
    assert "Api_verifier --> Function_verifier" in drawn


def test_every_component_is_in_the_table() -> None:
    files = (REPOSITORY / "infra" / "keyrung_infra" / "components").glob("*.py")
    declared = {name for file in files for name in re.findall(r'__init__\("keyrung:index:(\w+)"', file.read_text())}
    table = README.read_text("utf-8").partition("| component |")[2].partition("\n\n")[0]

    assert declared - {"StepUp"} == set(re.findall(r"`([A-Z]\w+)`", table))
