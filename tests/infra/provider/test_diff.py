"""Diffs without an engine: property by property nothing, in place or replacement, and what is refused in a preview."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from pulumi.provider.experimental.provider import DiffRequest, DiffResponse, PropertyDiffKind
from support.provider_inputs import EVERY_INPUT, GIVEN, INPUTS, OUTPUTS, UNKNOWN, given, urn, values

from keyrung_infra.errors import InfraError
from keyrung_infra.provider.provider import KeyrungProvider


def _diff(
    provider: KeyrungProvider, resource: str, new: Mapping[str, Any], *, state: Mapping[str, Any] | None = None
) -> DiffResponse:
    old = values({**given(resource), **OUTPUTS[resource], **(state or {})})
    return asyncio.run(provider.diff(DiffRequest(urn(resource), "id", old, values(new), [])))


@pytest.mark.parametrize("resource", INPUTS)
def test_what_is_declared_as_it_was_is_no_change(provider: KeyrungProvider, resource: str) -> None:
    answer = _diff(provider, resource, given(resource))
    assert answer.changes is False
    assert answer.detailed_diff == {}


@pytest.mark.parametrize("unknown", [False, True], ids=["changed", "unknown"])
@pytest.mark.parametrize(("resource", "name"), EVERY_INPUT)
def test_each_input_says_whether_its_change_is_in_place_or_a_replacement(
    provider: KeyrungProvider, resource: str, name: str, unknown: bool
) -> None:
    changed = {name: UNKNOWN if unknown else GIVEN[resource][name][1]}
    if resource == "Key" and (INPUTS["Key"][name][1] == "replace" or name == "source"):
        changed["generation"] = 2  # without it, another key is refused
    answer = _diff(provider, resource, given(resource, **changed))
    replaces = INPUTS[resource][name][1] == "replace"
    assert answer.changes is True
    assert (name in (answer.replaces or [])) == replaces
    kind = PropertyDiffKind.UPDATE_REPLACE if replaces else PropertyDiffKind.UPDATE
    assert (answer.detailed_diff or {})[name].kind is kind
    assert answer.delete_before_replace  # two keys of one name cannot stand side by side


@pytest.mark.parametrize("unknown", [False, True], ids=["changed", "unknown"])
@pytest.mark.parametrize("name", ["vault", "name", "algorithm", "purpose"])
def test_a_protected_key_is_not_replaced_and_not_perhaps_replaced(
    provider: KeyrungProvider, name: str, unknown: bool
) -> None:
    new = given("Key", **{name: UNKNOWN if unknown else GIVEN["Key"][name][1]})
    with pytest.raises(InfraError, match=f"changing {name} would replace .*name=seed, which is protected: first"):
        _diff(provider, "Key", new, state={"deletionProtection": True})


def test_lifting_the_protection_and_replacing_are_two_steps(provider: KeyrungProvider) -> None:
    new = given("Key", name="other", generation=2, deletionProtection=False)
    with pytest.raises(InfraError, match="protected"):
        _diff(provider, "Key", new, state={"deletionProtection": True})


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_a_replacement_needs_a_generation_that_was_never_there(provider: KeyrungProvider, generation: int) -> None:
    new = given("Key", name="other", generation=generation)
    if generation == 3:
        assert _diff(provider, "Key", new, state={"generation": 2}).replaces == ["name"]
        return
    with pytest.raises(InfraError, match="raise `generation` to 3"):
        _diff(provider, "Key", new, state={"generation": 2})


def test_an_ignored_change_is_no_change(provider: KeyrungProvider) -> None:
    old = values({**given("Key"), **OUTPUTS["Key"]})
    new = values(given("Key", name="other"))
    answer = asyncio.run(provider.diff(DiffRequest(urn("Key"), "id", old, new, ["name"])))
    assert answer.changes is False


@pytest.mark.parametrize(
    ("resource", "state", "name"),
    [
        ("PolicySet", {"inPlace": False}, "inPlace"),
        ("VerifierConfig", {"inPlace": False}, "inPlace"),
        ("PolicySet", {"expiresAt": "2026-01-02T00:00:00+00:00"}, "expiresAt"),
    ],
)
def test_what_a_refresh_or_the_clock_found_is_mended_in_place(
    provider: KeyrungProvider, resource: str, state: dict[str, Any], name: str
) -> None:
    answer = _diff(provider, resource, given(resource), state=state)
    assert answer.diffs == [name]
    assert not answer.replaces
    assert (answer.detailed_diff or {})[name].input_diff is False
