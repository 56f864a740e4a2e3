"""The policy catalogue as the text that the program hands to the `PolicySet` resource."""

from pathlib import Path

import msgspec
import pulumi

from keyrung_policies.canonical import canonical_bytes
from keyrung_policies.compile import compile_path
from keyrung_policies.errors import PolicyError


def policy_text(folder: Path) -> str:
    """Return the compiled policy of ``folder`` as canonical JSON.

    Raises:
        pulumi.RunError: With every mistake of every file, each with its place; shown without a traceback.
    """
    try:
        return canonical_bytes(msgspec.to_builtins(compile_path(folder).policy.document)).decode()
    except PolicyError as error:
        raise pulumi.RunError(f"the policies in {folder.name} are not valid:\n{error}") from error
