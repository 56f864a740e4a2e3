"""What the program hands to `PolicySet`: a policy without mistakes whose cases pass, or an error that names them."""

from pathlib import Path

import pulumi
import pytest

from keyrung_infra.policy_text import policy_text

RULE = "keyrung: policy/v1\ndefault: deny\nrules: [{id: one, actions: [a.b], allow: true}]\n"


def test_policy_without_mistakes_becomes_canonical_text(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(RULE)
    assert policy_text(tmp_path).startswith('{"attributes":{},"keyrung":"policy/v1"')


def test_mistake_ends_the_program_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(RULE + "extra: 1\n")
    with pytest.raises(pulumi.RunError, match=r"one\.yaml:4:1: unknown-field: "):
        policy_text(tmp_path)


def test_failing_case_ends_the_program_and_is_named(tmp_path: Path) -> None:
    cases = "cases:\n  - {name: nobody passes, action: a.b, expect: {outcome: deny}}\n"
    (tmp_path / "one.yaml").write_text(RULE + cases)
    told = r"""one\.yaml:5: case "nobody passes": outcome: expected 'deny', got 'allow'"""
    with pytest.raises(pulumi.RunError, match=told):
        policy_text(tmp_path)
