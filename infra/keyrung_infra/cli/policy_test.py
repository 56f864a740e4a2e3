"""`keyrung policy test`: run the cases beside a policy, and say what they leave untested."""

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from keyrung_infra.cli.policy_common import count, end, finish, json_option, policy_argument, policy_path, read_policy
from keyrung_policies.cases import BrokenInvariant, CaseResult, broken_invariants, run_cases
from keyrung_policies.compile import Compiled
from keyrung_policies.coverage import Coverage, coverage
from keyrung_policies.mutation import Mutant, surviving_mutants


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    results: tuple[CaseResult, ...]
    broken: tuple[BrokenInvariant, ...]
    covered: Coverage
    tried_count: int
    survivors: tuple[Mutant, ...]

    @property
    def failed(self) -> list[CaseResult]:
        return [result for result in self.results if not result.passed]

    @property
    def gaps_count(self) -> int:
        return len(self.covered.untried_rule_ids) + len(self.covered.untried_boundaries) + len(self.survivors)


@click.command("test")
@policy_argument
@click.option("--strict", is_flag=True, help="Also exit with 1 when something is untested.")
@json_option
def command(*, path: Path | None, strict: bool, as_json: bool) -> None:
    """Run the cases of the policy in PATH: a file, or all *.yaml files of a folder.

    Then say what they leave untested: rules that decide no case, thresholds without a case right at both sides, and
    changes of a threshold, level or age that no case would notice. Without PATH it is the project's policies/catalog.
    """
    compiled = read_policy(path, as_json=as_json)
    report = _report(compiled)
    found = bool(report.failed or report.broken) or (strict and report.gaps_count > 0)
    if as_json:
        finish(_document(report, compiled, ok=not found), found=found)
    click.echo("\n".join(_lines(report, compiled, str(policy_path(path)))))
    end(found=found)


def _report(compiled: Compiled) -> _Report:
    results = run_cases(compiled.policy, compiled.cases)
    # A change is only noticed by cases that pass without it.
    passed = all(result.passed for result in results)
    tried_count, survivors = surviving_mutants(compiled.policy, compiled.cases) if passed else (0, ())
    return _Report(
        results=results,
        broken=broken_invariants(compiled.policy, compiled.invariants, results),
        covered=coverage(compiled.policy, results),
        tried_count=tried_count,
        survivors=survivors,
    )


def _document(report: _Report, compiled: Compiled, *, ok: bool) -> dict[str, object]:
    return {
        "ok": ok,
        "cases": [
            {
                "name": result.case.name,
                "file": result.case.file,
                "line": result.case.line,
                "passed": result.passed,
                "differences": result.differences,
            }
            for result in report.results
        ],
        "broken_invariants": [
            {"name": one.invariant.name, "case": one.case.name, "sentence": one.sentence} for one in report.broken
        ],
        "untried_rules": report.covered.untried_rule_ids,
        "untried_boundaries": [asdict(boundary) for boundary in report.covered.untried_boundaries],
        "changes_tried": report.tried_count,
        "unnoticed_changes": [
            {"rule_id": mutant.rule_id, "change": mutant.change, "place": compiled.place_of(mutant.rule_id)}
            for mutant in report.survivors
        ],
    }


def _lines(report: _Report, compiled: Compiled, name: str) -> list[str]:
    covered = report.covered
    lines = [
        f'{result.case.file}:{result.case.line}: case "{result.case.name}" failed: {difference}'
        for result in report.failed
        for difference in result.differences
    ]
    lines += [
        f'{one.invariant.place.file}:{one.invariant.place.line}: invariant "{one.invariant.name}" is broken '
        f'by the case "{one.case.name}": {one.sentence}'
        for one in report.broken
    ]
    cases = count(len(report.results), "case")
    lines.append(f"{name}: {cases}, {len(report.failed) or 'none'} failed")
    tried = covered.rules_count - len(covered.untried_rule_ids)
    lines.append(f"  rules       {tried} of {covered.rules_count} decide a case")
    tried = covered.boundaries_count - len(covered.untried_boundaries)
    lines.append(f"  thresholds  {tried} of {covered.boundaries_count} boundary values have a case")
    if report.failed:
        return [*lines, "  changes     not tried while a case fails"]
    lines.append(
        f"  changes     {report.tried_count - len(report.survivors)} of {report.tried_count} noticed by a case"
    )
    return [*lines, "", "untested:", *_gaps(report, compiled)] if report.gaps_count else lines


def _gaps(report: _Report, compiled: Compiled) -> list[str]:
    gaps = [(rule_id, "decides no case") for rule_id in report.covered.untried_rule_ids]
    gaps += [(one.rule_id, f"no case has {one.attribute} = {one.value}") for one in report.covered.untried_boundaries]
    gaps += [(mutant.rule_id, f"{mutant.change} changes no case") for mutant in report.survivors]
    return [f"  {compiled.place_of(rule_id)}: {rule_id}: {sentence}" for rule_id, sentence in gaps]
