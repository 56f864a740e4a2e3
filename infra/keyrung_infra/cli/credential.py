"""`keyrung credential`: a table of its commands, each loaded only when it is used."""

from keyrung_infra.cli.main import LazyGroup

# Command -> module that has it as `command`, and its one line in the overview.
_COMMANDS: dict[str, tuple[str, str]] = {
    "add": ("keyrung_infra.cli.credential_add", "Provision a credential for a subject."),
    "import": ("keyrung_infra.cli.credential_import", "Import the credentials in a CSV file."),
    "list": ("keyrung_infra.cli.credential_list", "List who holds what, in which state."),
    "revoke": ("keyrung_infra.cli.credential_revoke", "Revoke a credential or an enrolment ticket."),
}

command = LazyGroup(
    table=_COMMANDS, name="credential", help="Add, import, list and revoke people's step-up credentials."
)
