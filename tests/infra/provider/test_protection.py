"""What is protected stays: neither `destroy` nor a changed declaration ends a key before its protection was lifted."""

from support.deployment import declare_one_key, inventory, resources, states, token_objects, transit_keys
from support.project import Project

_PKCS11 = "pkcs11:token=keyrung"


def test_destroy_refuses_until_the_protection_was_lifted_and_then_removes_all(deployed: Project) -> None:
    made = resources(deployed)
    everything = (token_objects(deployed), transit_keys(deployed), states(deployed))

    done = deployed.pulumi("destroy", "--yes", check=False)
    assert done.returncode != 0
    assert "cannot be deleted" in done.stdout + done.stderr
    assert "protect" in done.stdout + done.stderr
    assert resources(deployed) == made  # not even what stands on the keys is gone
    assert (deployed.state / "verifier" / "config.json").is_file()

    # Somebody who takes the engine's protection away meets the provider's, which names the two steps.
    deployed.pulumi("state", "unprotect", "--all", "--yes")
    done = deployed.pulumi("destroy", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    for uri in (
        "pkcs11:token=keyrung;object=assertion-signing-local",
        "transit:mount=keyrung;name=audit-signing-local",
    ):
        sentence = f"{uri} is protected: first `pulumi up` with deletionProtection: false"
        assert sentence in done.stdout + done.stderr
    assert "`pulumi config set protectKeys false`), then repeat this." in done.stdout + done.stderr
    assert (token_objects(deployed), transit_keys(deployed), states(deployed)) == everything

    deployed.pulumi("config", "set", "protectKeys", "false")
    deployed.pulumi("up", "--yes", "--skip-preview")
    assert (token_objects(deployed), transit_keys(deployed), states(deployed)) == everything
    deployed.pulumi("destroy", "--yes", "--skip-preview")
    assert resources(deployed) == {}
    assert (token_objects(deployed), transit_keys(deployed)) == ([], [])
    assert set(states(deployed).values()) == {"destroyed"}
    assert not (deployed.state / "verifier" / "config.json").exists()
    assert not (deployed.state / "verifier" / "policy-bundle.json").exists()

    # What was destroyed stays so; the next generation is another key under the same declaration.
    done = deployed.pulumi("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert (
        "was destroyed and cannot come back: raise `generation` to 2 (Keyrung's own program takes it"
        in done.stdout + done.stderr
    )
    deployed.pulumi("config", "set", "keyGeneration", "2")
    deployed.pulumi("up", "--yes", "--skip-preview")
    assert sorted(states(deployed).values()) == ["active"] * 4 + ["destroyed"] * 4


def test_a_key_is_replaced_under_a_new_generation_only(pulumi_project: Project) -> None:
    project = pulumi_project
    declare_one_key(project, _PKCS11, protected=True)
    project.pulumi("up", "--yes", "--skip-preview")
    first = resources(project)["key"]["outputs"]["thumbprint"]

    declare_one_key(project, _PKCS11, name="renamed", protected=True, generation=2)
    done = project.pulumi("preview", check=False)
    assert done.returncode != 0
    assert "which is protected: first `pulumi up` with deletionProtection: false" in done.stdout + done.stderr

    declare_one_key(project, _PKCS11, protected=False)
    project.pulumi("up", "--yes", "--skip-preview")
    declare_one_key(project, _PKCS11, name="renamed", protected=False)
    done = project.pulumi("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    assert "`pulumi config set keyGeneration 2`) together with it" in done.stdout + done.stderr
    assert token_objects(project) == ["private assertion-signing-one", "public assertion-signing-one"]

    declare_one_key(project, _PKCS11, name="renamed", protected=False, generation=2)
    project.pulumi("up", "--yes", "--skip-preview")
    second = resources(project)["key"]["outputs"]
    assert (second["generation"], second["state"]) == (2, "active")
    assert second["thumbprint"] != first
    assert token_objects(project) == ["private assertion-signing-renamed", "public assertion-signing-renamed"]
    uri = "pkcs11:token=keyrung;object=assertion-signing"
    assert states(project) == {f"{uri}-one@1": "destroyed", f"{uri}-renamed@2": "active"}
    assert [event.event for _, event in inventory(project).events()] == [
        *("key.claimed", "key.created", "key.activated", "key.destroyed"),
        *("key.claimed", "key.created", "key.activated"),
    ]


def test_a_forced_replacement_under_one_generation_keeps_the_key(pulumi_project: Project) -> None:
    project = pulumi_project
    declare_one_key(project, _PKCS11, protected=False)
    project.pulumi("up", "--yes", "--skip-preview")
    first = resources(project)["key"]["outputs"]
    urn = project.pulumi_json("stack", "export")["deployment"]["resources"][-1]["urn"]
    assert urn.endswith("::key")

    project.pulumi("up", "--yes", "--skip-preview", "--replace", urn)
    again = resources(project)["key"]["outputs"]
    assert again["thumbprint"] == first["thumbprint"]
    assert again["holder"] != first["holder"]
    assert list(states(project).values()) == ["active"]
    project.pulumi("refresh", "--yes", "--skip-preview")

    # Its last holder may destroy it.
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert list(states(project).values()) == ["destroyed"]
    assert token_objects(project) == []
