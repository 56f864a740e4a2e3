"""`keyrung policy prove`: what a policy promises, proved for every possible request, and what it hardly means."""

import json
from pathlib import Path

import click

from keyrung_infra.cli.policy_common import (
    as_objects,
    count,
    end,
    finish,
    json_option,
    policy_argument,
    policy_path,
    read_policy,
)
from keyrung_infra.cli.policy_reports import keyrung_version, report_option, write_report
from keyrung_policies.analysis.lints import LINTS, lint
from keyrung_policies.analysis.prove import DEFAULT_TIMEOUT_SECONDS, Proof, ProofVerdict, prove
from keyrung_policies.errors import Problem, SourceError
from keyrung_policies.reports.document import decision_document, request_document
from keyrung_policies.reports.sarif import findings_sarif
from keyrung_policies.reports.wording import because, decision_words, request_lines

_COLOURS: dict[ProofVerdict, str] = {
    ProofVerdict.PROVED: "green",
    ProofVerdict.REFUTED: "red",
    ProofVerdict.VACUOUS: "yellow",
    ProofVerdict.UNDECIDED: "yellow",
}
_INVARIANT = "invariant-refuted"


@click.command("prove")
@policy_argument
@report_option("--sarif", "Write SARIF 2.1.0, which code hosts show beside the lines, to this file.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_TIMEOUT_SECONDS,
    show_default=True,
    help="Seconds, for the invariants and again for the lints; what is not decided by then is not proved.",
)
@json_option
def command(*, path: Path | None, sarif: Path | None, timeout_seconds: float, as_json: bool) -> None:
    """Prove the invariants of the policy in PATH for every possible request, or show a request that breaks one.

    Then run the lints: rules, levels and actions that can never matter, and texts that look secret. Without PATH it is
    the project's policies/catalog. Exit code 1 when an invariant is not proved or a lint finds something.
    """
    compiled = read_policy(path, as_json=as_json)
    proofs = prove(compiled.policy, compiled.invariants, timeout_seconds=timeout_seconds)
    linted = lint(compiled, timeout_seconds=timeout_seconds)
    write_report(sarif, lambda: _sarif(proofs, linted))
    good = not linted and all(proof.verdict is ProofVerdict.PROVED for proof in proofs)
    if as_json:
        document = {"ok": good, "invariants": [_document(proof) for proof in proofs], "lints": as_objects(linted)}
        finish(document, found=not good)
    if sarif != Path("-"):
        click.echo("\n".join(_lines(proofs, linted, str(policy_path(path)))))
    end(found=not good)


def _lines(proofs: tuple[Proof, ...], linted: tuple[SourceError, ...], name: str) -> list[str]:
    lines = [line for proof in proofs for line in _proof_lines(proof)]
    lines += [str(one) for one in linted]
    proved = sum(proof.verdict is ProofVerdict.PROVED for proof in proofs)
    return [
        *lines,
        f"{name}: {proved} of {count(len(proofs), 'invariant')} proved, {count(len(linted), 'lint finding')}",
    ]


def _proof_lines(proof: Proof) -> list[str]:
    verdict = click.style(proof.verdict, fg=_COLOURS[proof.verdict])
    lines = [f"{verdict}: {proof.invariant.name} ({_place(proof)})"]
    if proof.verdict is ProofVerdict.VACUOUS:
        lines.append("  it speaks about no request at all; mend its condition or its actions")
    if proof.undecided is not None:
        lines.append(f"  {proof.undecided}")
    if proof.counterexample is not None:
        first, *more = request_lines(proof.counterexample.request, proof.counterexample.now)
        decision = proof.counterexample.decision
        lines += [
            f"  {proof.counterexample.violation}",
            f"    request  {first}",
            *(f"             {line}" for line in more),
            f"    answer   {decision_words(decision)} ({because(decision)})",
        ]
    return lines


def _place(proof: Proof) -> str:
    place = proof.invariant.place
    return f"{place.file}:{place.line}"


def _document(proof: Proof) -> dict[str, object]:
    found = proof.counterexample
    return {
        "name": proof.invariant.name,
        "file": proof.invariant.place.file,
        "line": proof.invariant.place.line,
        "verdict": proof.verdict,
        "undecided": proof.undecided,
        "counterexample": None
        if found is None
        else {
            "request": request_document(found.request, found.now),
            "decision": decision_document(found.decision),
            "violation": found.violation,
        },
    }


def _sarif(proofs: tuple[Proof, ...], linted: tuple[SourceError, ...]) -> str:
    found = [
        proof.invariant.place.error(
            Problem(id=_INVARIANT, sentence=_sentence(proof), fix="mend the rules, or what is promised")
        )
        for proof in proofs
        if proof.verdict is not ProofVerdict.PROVED
    ]
    rules = {_INVARIANT: "An invariant that is not proved for every possible request.", **LINTS}
    return json.dumps(findings_sarif([*found, *linted], rules=rules, version=keyrung_version()), indent=2) + "\n"


def _sentence(proof: Proof) -> str:
    sentence = f"{proof.invariant.name} is {proof.verdict}"
    if proof.counterexample is None:
        return sentence
    example = "; ".join(request_lines(proof.counterexample.request, proof.counterexample.now))
    return f"{sentence}: {proof.counterexample.violation}, for example {example}"
