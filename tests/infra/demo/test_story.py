"""The story as it is told and kept."""

import json

import pytest

from keyrung_infra.demo.story import Story
from keyrung_infra.errors import InfraError


def test_each_step_is_told_with_its_time_and_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    story.chapter("A part")
    with story.step("something happens"):
        story.note("and this came of it")
    with story.step("something else happens"):
        pass
    title, first, note, second = capsys.readouterr().out.strip().splitlines()
    assert title == "A part"
    assert first.startswith("  ✓ something happens ")
    assert first.endswith(" s")
    assert note.strip() == "and this came of it"
    assert second.startswith("  ✓ something else happens ")


def test_a_step_that_fails_is_told_and_kept_as_failed(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    with story.step("goes well"):
        pass
    with pytest.raises(InfraError, match="broken"), story.step("goes wrong"):
        raise InfraError("it is broken", fix="mend it")
    assert "✗ goes wrong" in capsys.readouterr().out
    told = json.loads(story.encoded(ok=False))
    assert told["ok"] is False
    assert [(step["step"], step["ok"]) for step in told["steps"]] == [("goes well", True), ("goes wrong", False)]


def test_a_quiet_story_prints_nothing_and_keeps_everything(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(quiet=True)
    story.chapter("A part")
    with story.step("something happens"):
        story.note("and this came of it")
    story.facts["head"] = "abc"
    assert capsys.readouterr().out == ""
    told = json.loads(story.encoded(ok=True))
    assert told == {"ok": True, "seconds": told["seconds"], "steps": told["steps"], "head": "abc"}
