"""Whatever bytes stand in a policy file, the author gets a policy or places, never a trace."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.bundle import policy_digest
from keyrung_policies.compile import compile_texts
from keyrung_policies.errors import Place, PolicyErrors, SourceError
from keyrung_policies.model import MAX_LEVELS
from keyrung_policies.policy_set import PolicySet
from keyrung_policies.reading import Findings, each
from keyrung_policies.source import Scalar

SAMPLE = (Path(__file__).parents[2] / "policies" / "catalog" / "bank.yaml").read_text()
FRAGMENTS = st.sampled_from(
    [
        *("&a ", "*a", "!!python/object:x ", "!x ", "<<: ", "%YAML 9.9\n", "---\n", "? ", "- ", ": "),
        *("{", "[", "]", "}", '"', "'", "\\", "\t", "\x00", "\ufeff", "\U0001f600", "|\n", ">-\n", "#"),
        *("null", "~", "0x1F", "1_0", "1e9", ".nan", "2026-01-01"),
    ]
)


def compiles_or_names_places(data: bytes) -> None:
    errors: tuple[SourceError, ...] = ()
    policy: PolicySet | None = None
    try:
        policy = compile_texts({"policy.yaml": data}).policy
    except PolicyErrors as caught:
        errors = caught.errors
    if policy is None:
        assert errors
        assert all(error.line >= 1 and error.column >= 1 for error in errors)
    else:
        assert policy_digest(policy).startswith("sha-256:")


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_give_places(data: bytes) -> None:
    compiles_or_names_places(data)


@settings(deadline=None)
@given(st.lists(FRAGMENTS | st.text(max_size=3), max_size=12))
def test_arbitrary_yaml_gives_places(pieces: list[str]) -> None:
    compiles_or_names_places("".join(pieces).encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 6), FRAGMENTS | st.just("")), max_size=3))
def test_sample_policy_with_pieces_cut_out_and_put_in_gives_places(edits: list[tuple[int, int, str]]) -> None:
    text = SAMPLE
    for position, cut, piece in edits:
        text = text[:position] + piece + text[position + cut :]
    compiles_or_names_places(text.encode())


def test_a_file_full_of_one_list_is_read_in_proportion_to_its_length() -> None:
    calls = 0

    class Counted(int):
        def __eq__(self, other: object) -> bool:
            nonlocal calls
            calls += 1
            return int.__eq__(self, other)

        __hash__ = int.__hash__

    place = Place(file="policy.yaml", line=1, column=1)
    nodes = [Scalar(place=place, kind="integer", raw=str(number), value=number) for number in range(2000)]
    read = each(lambda node, _: Counted(node.value if isinstance(node, Scalar) else 0), nodes, Findings())
    assert read == tuple(range(2000))
    assert calls <= 2 * len(nodes)


def test_more_levels_than_anybody_compares_are_refused_before_they_are_compared() -> None:
    levels = "".join(f"  l{number}: {{acr: a{number}, any_of: [[otp]]}}\n" for number in range(MAX_LEVELS + 1))
    rules = "rules:\n  - {id: ok, actions: [read], allow: true}\n"
    with pytest.raises(PolicyErrors) as refused:
        compile_texts({"policy.yaml": f"keyrung: policy/v1\ndefault: deny\nlevels:\n{levels}{rules}".encode()})
    assert [(error.id, error.line) for error in refused.value.errors] == [("too-many-levels", 4)]
