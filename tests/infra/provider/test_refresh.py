"""`refresh` fails when a key is not exactly the recorded one, and no `up` quietly makes another."""

from collections.abc import Callable

from support.deployment import openbao_of, pkcs11_tool, resources, token_objects
from support.project import Project

_LABEL = "assertion-signing-local"
_AUDIT = "keyrung/keys/audit-signing-local"


def _refuses(project: Project, name: str, *expected: str, command: tuple[str, ...] = ("refresh",)) -> None:
    """Check that ``command`` fails over the key called ``name``, and that the state stays as it is."""
    before = resources(project)
    done = project.pulumi(*command, "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    for text in (before[name]["outputs"]["thumbprint"], *expected):
        assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert resources(project) == before


def _generate(project: Project) -> None:
    pkcs11_tool(project, "--keypairgen", "--key-type", "EC:prime256v1", "--label", _LABEL, "--id", "4242")


def test_refresh_finds_a_pkcs11_key_that_is_gone_and_one_in_its_place(deployed: Project) -> None:
    for kind in ("privkey", "pubkey"):
        pkcs11_tool(deployed, "--delete-object", "--type", kind, "--label", _LABEL)
    gone = ("the store has no such key (found thumbprint: none)", "recover the key")
    _refuses(deployed, "assertion-signing", *gone)
    _refuses(deployed, "assertion-signing", *gone, command=("up", "--refresh"))
    deployed.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert token_objects(deployed) == []

    _generate(deployed)
    _refuses(deployed, "assertion-signing", "the store holds another key, ")
    _generate(deployed)  # two of one label: which one is meant is nobody's guess
    done = deployed.pulumi("refresh", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert "more than one key labelled" in done.stdout + done.stderr


def test_refresh_finds_a_transit_key_that_is_weaker_gone_or_another(deployed: Project) -> None:
    def as_root(*calls: Callable[[Callable[..., object]], object]) -> None:
        with openbao_of(deployed).root() as root:
            for call in calls:
                call(root.call)

    as_root(lambda call: call("POST", f"{_AUDIT}/config", {"exportable": True}))
    _refuses(deployed, "audit-signing", "no longer holds in exportable")

    as_root(
        lambda call: call("POST", f"{_AUDIT}/config", {"deletion_allowed": True}),
        lambda call: call("DELETE", _AUDIT),
    )
    _refuses(deployed, "audit-signing", "the store has no such key (found thumbprint: none)")

    as_root(lambda call: call("POST", _AUDIT, {"type": "ecdsa-p256"}))
    _refuses(deployed, "audit-signing", "the store holds another key, ")
    _refuses(deployed, "audit-signing", "the store holds another key, ", command=("up", "--refresh"))
    deployed.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
