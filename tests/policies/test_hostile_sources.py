"""Whatever bytes stand in a policy file, the author gets a policy or places, never a trace."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.bundle import policy_digest
from keyrung_policies.compile import compile_texts
from keyrung_policies.errors import PolicyErrors, SourceError
from keyrung_policies.policy_set import PolicySet

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
