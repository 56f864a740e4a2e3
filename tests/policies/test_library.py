"""The policies that come with the package: in every environment they compile and keep what they promise."""

import re
from pathlib import Path

import pytest

from keyrung_policies import library
from keyrung_policies.analysis.lints import lint
from keyrung_policies.analysis.prove import ProofVerdict, prove
from keyrung_policies.cases import broken_invariants, run_cases
from keyrung_policies.compile import Compiled, compile_texts
from keyrung_policies.coverage import coverage
from keyrung_policies.library import UnknownTemplateError
from keyrung_policies.mutation import surviving_mutants
from keyrung_policies.templating import Rendered, render

README = (Path(__file__).parents[2] / "policies" / "README.md").read_text()
ALL = [(name, environment) for name in library.names() for environment in library.parameters(name).environments]


def rendered(name: str, environment: str) -> Rendered:
    values = library.parameters(name).environments[environment]
    return render(library.template_text(name), values, file=f"{name}.yaml.j2")


@pytest.fixture(params=ALL, ids="-".join)
def policy(request: pytest.FixtureRequest) -> Compiled:
    return rendered(*request.param).compile()


def test_library_has_a_policy_for_each_common_need_in_development_and_production() -> None:
    assert library.names() == ["admin-console", "break-glass", "data-export", "deployment-approval", "payments"]
    assert {environment for _, environment in ALL} == {"dev", "prod"}
    assert len(ALL) == 10


def test_every_case_passes(policy: Compiled) -> None:
    assert [result.differences for result in run_cases(policy.policy, policy.cases) if not result.passed] == []


def test_every_rule_boundary_and_change_is_tested(policy: Compiled) -> None:
    found = coverage(policy.policy, run_cases(policy.policy, policy.cases))
    assert (found.untried_rule_ids, found.untried_boundaries) == ((), ())
    assert surviving_mutants(policy.policy, policy.cases)[1] == ()


def test_no_case_breaks_an_invariant(policy: Compiled) -> None:
    assert policy.invariants
    assert broken_invariants(policy.policy, policy.invariants, run_cases(policy.policy, policy.cases)) == ()


def test_every_invariant_is_proved_for_every_request(policy: Compiled) -> None:
    proofs = prove(policy.policy, policy.invariants, timeout_seconds=60)
    assert [(proof.invariant.name, proof.verdict) for proof in proofs if proof.verdict is not ProofVerdict.PROVED] == []


def test_nothing_in_it_can_never_matter_or_looks_secret(policy: Compiled) -> None:
    assert [str(finding) for finding in lint(policy, timeout_seconds=60)] == []


def test_no_level_is_out_of_reach(policy: Compiled) -> None:
    assert policy.warnings == ()


def test_all_policies_live_in_one_folder() -> None:
    texts = {f"{name}.yaml": rendered(name, "prod").text.encode() for name in library.names()}
    together = compile_texts(texts)
    assert all(result.passed for result in run_cases(together.policy, together.cases))


def test_every_policy_of_the_library_is_documented() -> None:
    assert [name for name in library.names() if f"`{name}`" not in README] == []


def test_unknown_name_tells_what_there_is() -> None:
    with pytest.raises(UnknownTemplateError, match=re.escape("use one of admin-console, break-glass, ")):
        library.template_text("../secrets")
