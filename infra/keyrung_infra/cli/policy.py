"""`keyrung policy`: a table of its commands, each loaded only when it is used.

Exit codes of all of them: 0 for a good policy, 1 where something was found (a mistake, a failed case, a refusal), 2 for
a wrong use of the command.
"""

from keyrung_infra.cli.main import LazyGroup

# Command -> module that has it as `command`, and its one line in the overview.
_COMMANDS: dict[str, tuple[str, str]] = {
    "new": ("keyrung_infra.cli.policy_new", "Start from a policy of the library."),
    "render": ("keyrung_infra.cli.policy_render", "Render a policy template for an environment."),
    "check": ("keyrung_infra.cli.policy_check", "Find every mistake of a policy."),
    "test": ("keyrung_infra.cli.policy_test", "Run the cases of a policy and say what they leave untested."),
    "compile": ("keyrung_infra.cli.policy_compile", "Write a policy in the one form that is hashed and signed."),
    "sign": ("keyrung_infra.cli.policy_sign", "Sign a policy with a provisioned key."),
    "inspect": ("keyrung_infra.cli.policy_inspect", "Show and verify a signed bundle."),
    "schema": ("keyrung_infra.cli.policy_schema", "Write the JSON Schema for editors."),
    "explain": (
        "keyrung_infra.cli.policy_explain",
        "Say what a request gets, because of which rules.",
    ),
    "diff": ("keyrung_infra.cli.policy_diff", "Say whether a change makes a policy stronger or weaker."),
    "prove": ("keyrung_infra.cli.policy_prove", "Prove what a policy promises, and find what can never matter."),
    "simulate": (
        "keyrung_infra.cli.policy_simulate",
        "Say what a policy would have asked for in a recorded log.",
    ),
    "impact": (
        "keyrung_infra.cli.policy_impact",
        "Say who could not satisfy a policy, and which routes it misses.",
    ),
}

command = LazyGroup(
    table=_COMMANDS,
    name="policy",
    help="Check, test, explain, compile and sign policies.",
    epilog="Exit codes: 0 good, 1 something was found, 2 wrong use.",
)
