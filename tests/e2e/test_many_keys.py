"""Several hundred keys in one program: made, found unchanged, and destroyed, in a token and in Transit."""

from support.deployment import declare_keys, resources, states, token_objects, transit_keys
from support.project import Project

_COUNT = 200
_VAULTS = {"pkcs11:token=keyrung": _COUNT, "transit:mount=keyrung": _COUNT}


def test_four_hundred_keys_are_made_found_as_they_are_and_destroyed(pulumi_project: Project) -> None:
    project = pulumi_project
    declare_keys(project, _VAULTS)
    project.pulumi("up", "--yes", "--skip-preview")
    made = {name: item["outputs"] for name, item in resources(project).items() if "thumbprint" in item["outputs"]}
    assert len({key["thumbprint"] for key in made.values()}) == len(made) == 2 * _COUNT
    assert list(states(project).values()) == ["active"] * 2 * _COUNT
    assert (len(token_objects(project)), len(transit_keys(project))) == (2 * _COUNT, _COUNT)
    project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert list(states(project).values()) == ["destroyed"] * 2 * _COUNT
    assert (token_objects(project), transit_keys(project)) == ([], [])
