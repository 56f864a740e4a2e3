"""The policy catalogue as the text that the program hands to the `PolicySet` resource."""

from pathlib import Path

import pulumi

from keyrung_policies.canonical import canonical_record
from keyrung_policies.cases import CaseResult, run_cases
from keyrung_policies.compile import compile_path
from keyrung_policies.errors import PolicyError


def policy_text(folder: Path) -> str:
    """Return the compiled policy of ``folder`` as canonical JSON; all its cases pass.

    Raises:
        pulumi.RunError: With every mistake, or every case that fails, each with its place; shown without a traceback.
    """
    try:
        compiled = compile_path(folder)
        text = canonical_record(compiled.policy.document).decode()
    except PolicyError as error:
        raise pulumi.RunError(f"the policies in {folder.name} are not valid:\n{error}") from error
    failed = [result for result in run_cases(compiled.policy, compiled.cases) if not result.passed]
    if failed:
        told = "\n".join(_told(result) for result in failed)
        raise pulumi.RunError(
            f"the policies in {folder.name} don't do what their cases say; correct the rules or the cases:\n{told}"
        )
    return text


def _told(result: CaseResult) -> str:
    return f'{result.case.file}:{result.case.line}: case "{result.case.name}": {"; ".join(result.differences)}'
