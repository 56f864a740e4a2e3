"""A changed policy in `pulumi preview`: what it means next to the deployed one, and the refusal of a weakening."""

import sys
from pathlib import Path
from typing import Any

import pytest
from support.deployment import resources
from support.project import Project

from keyrung_infra.errors import InfraError
from keyrung_infra.policy_text import policy_text
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.model import Change, Changes, OnChange, Values
from keyrung_infra.provider.policy_set import PolicySet
from keyrung_infra.provider.policy_verdict import policy_verdict
from keyrung_infra.provider.values import UNKNOWN
from keyrung_policies.analysis.strength import Verdict

_REPOSITORY = Path(__file__).resolve().parents[3]
_POLICY = policy_text(_REPOSITORY / "policies" / "catalog")
_WEAKER = _POLICY.replace('"max_age_seconds":300', '"max_age_seconds":600')
_STRONGER = _POLICY.replace('"max_age_seconds":300', '"max_age_seconds":200')
_CHANGED = Changes(by_property={"policy": Change(kind=OnChange.UPDATE)})


@pytest.fixture
def policies(tmp_path: Path) -> PolicySet:
    return PolicySet(Backends(tmp_path, reached=lambda _point: None))


def _values(policy: Any, *, allow_weaker: bool = False) -> Values:
    return {"policy": policy, "allowWeaker": allow_weaker}


def test_a_preview_shows_the_verdict_and_refuses_a_weakening_where_none_is_allowed(deployed: Project) -> None:
    catalogue = deployed.root / "policies" / "catalog" / "bank.yaml"
    right, before = catalogue.read_text(), resources(deployed)

    catalogue.write_text(right.replace("max_age: 5m", "max_age: 4m"))
    told = deployed.pulumi("preview").stdout
    assert "Next to the deployed policy this one is stronger: customers.export: the step-up must be fresher" in told

    catalogue.write_text(right.replace("max_age: 5m", "max_age: 6m"))
    told = deployed.pulumi("preview").stdout
    assert "Next to the deployed policy this one is weaker: customers.export: the step-up may be older" in told
    assert 'for example [customers.export; subject.kind: "person"]' in told

    deployed.pulumi("config", "set", "allowWeakerPolicies", "false")
    for command in (("preview",), ("up", "--yes", "--skip-preview")):
        done = deployed.pulumi(*command, check=False)
        assert done.returncode != 0
        assert "the new policy is refused, because next to the deployed one it is weaker" in done.stdout + done.stderr
    assert resources(deployed)["policies"]["outputs"]["version"] == before["policies"]["outputs"]["version"]

    catalogue.write_text(right.replace("max_age: 5m", "max_age: 4m"))
    deployed.pulumi("up", "--yes", "--skip-preview")
    assert resources(deployed)["policies"]["outputs"]["allowWeaker"] is False


def test_a_weaker_policy_is_refused_unless_it_is_allowed(policies: PolicySet) -> None:
    with pytest.raises(InfraError, match=r"refused, because next to the deployed one it is weaker: customers.export"):
        policies.guard(_values(_POLICY), _values(_WEAKER), _CHANGED)
    policies.guard(_values(_POLICY), _values(_WEAKER, allow_weaker=True), _CHANGED)
    policies.guard(_values(_POLICY), _values(_STRONGER), _CHANGED)


def test_what_was_allowed_for_the_last_policy_is_not_allowed_for_this_one(policies: PolicySet) -> None:
    with pytest.raises(InfraError, match="refused"):
        policies.guard(_values(_POLICY, allow_weaker=True), _values(_WEAKER), _CHANGED)


def test_a_policy_that_is_not_known_yet_is_judged_during_the_update(policies: PolicySet) -> None:
    policies.guard(_values(_POLICY), _values(UNKNOWN), _CHANGED)
    assert policies.advice(_values(UNKNOWN), _values(_POLICY)) == []


def test_a_first_policy_and_an_unchanged_one_need_no_word(policies: PolicySet) -> None:
    assert policies.advice(_values(_POLICY), None) == []
    assert policies.advice(_values(_POLICY), _values(_POLICY)) == []


def test_a_deployed_policy_of_another_language_is_not_decided_and_refused(policies: PolicySet) -> None:
    with pytest.raises(InfraError, match="not decided, which counts as weaker: the deployed policy is of another"):
        policies.guard(_values('{"keyrung":"policy/v0"}'), _values(_POLICY), _CHANGED)


def test_without_the_solver_nothing_is_decided_and_the_preview_says_what_to_install(
    policies: PolicySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("keyrung_policies.analysis.") or name == "z3"]:
        if not name.endswith((".errors", ".strength")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "z3", None)
    policy_verdict.cache_clear()
    (sentence,) = policies.advice(_values(_STRONGER), _values(_POLICY))
    assert "not decided, which counts as weaker" in sentence
    assert "pip install 'keyrung[analysis]'" in sentence
    with pytest.raises(InfraError, match="not decided"):
        policies.guard(_values(_POLICY), _values(_STRONGER), _CHANGED)
    policy_verdict.cache_clear()


def test_equal_policies_of_another_text_are_equal() -> None:
    renamed = _POLICY.replace('"small-transfer"', '"a-small-transfer"')
    found = policy_verdict(_POLICY, renamed)
    assert found.verdict is Verdict.EQUAL
    assert found.sentence == "equal: every possible request gets the same answer."
