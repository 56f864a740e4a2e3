"""`kill -9` between generate, escrow, lock and activate: no key is active before its escrow, none is escrowed twice."""

import json

from support.deployment import MORTAL_PLUGIN, inventory, set_plugin, states, token_objects
from support.escrowed_project import URI, EscrowedProject
from support.project import Project

_POINTS = ("generated", "escrow", "lock", "locked", "activate")
_PAIR = ["private policy-signing-one", "public policy-signing-one"]


def test_a_provider_killed_around_the_escrow_leads_to_one_key_and_one_envelope(pulumi_project: Project) -> None:
    site, project = EscrowedProject(pulumi_project), pulumi_project
    site.declare(site.custodians("ada", "bo", "cy"))
    set_plugin(project, MORTAL_PLUGIN)
    sets = set()
    for point in _POINTS:  # each run goes one step further than the one before
        (project.root / "die-at").write_text(point)
        done = project.pulumi("up", "--yes", "--skip-preview", check=False)
        assert done.returncode != 0
        assert not (project.root / "die-at").exists(), done.stdout + done.stderr
        assert states(project) == {f"{URI}@1": "pre-activation"}
        assert token_objects(project) == _PAIR
        sealed = [json.loads(path.read_text())["set"] for path in site.envelopes()]
        assert bool(sealed) == (point in ("lock", "locked", "activate"))
        sets.update(sealed)
        (row,) = inventory(project).rows()
        assert row.custody == ("escrowed" if point == "activate" else "escrowing")
    site.up()
    made, (path,) = site.key(), site.envelopes()
    assert (made["state"], token_objects(project)) == ("active", _PAIR)
    assert sets == {made["envelope"]["set"]}
    events = [event.event for _, event in inventory(project).events()]
    assert events == ["key.claimed", "key.adopted", "key.escrowed", "key.activated"]
    drilled = site.keyrung("escrow", "drill", str(path), *site.open_shares(path, ("ada", "bo", "cy")))
    assert (drilled["fingerprint"], drilled["complete"]) == (made["thumbprint"], True)

    (project.root / "die-at").write_text("destroy")
    assert project.pulumi("destroy", "--yes", "--skip-preview", check=False).returncode != 0
    assert (states(project), site.envelopes()) == ({f"{URI}@1": "active"}, [path])
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert (states(project), site.envelopes(), token_objects(project)) == ({f"{URI}@1": "destroyed"}, [], [])
