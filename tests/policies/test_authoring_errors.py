"""Every mistake an author can make, with the exact words that name its place and its fix."""

import ast
from pathlib import Path

import pytest
from support.policy_mistakes import GOOD, HEAD, mistakes

import keyrung_policies
from keyrung_policies.compile import compile_path, compile_texts
from keyrung_policies.errors import PolicyErrors


def _mistakes() -> list[tuple[str, bytes, str]]:
    """Return what is wrong (its error id first), the file, and everything the author is told."""
    written = [(mistake.name, mistake.text.encode(), mistake.told) for mistake in mistakes()]
    return [
        *written,
        (
            "file-too-large",
            HEAD.encode() + b"#" * 1024 * 1024,
            "1:1: file-too-large: the file exceeds 1048576 bytes; split it into several.",
        ),
        (
            "file-encoding",
            b"keyrung: policy/v1\ndefault: d\xe9ny\n",
            "2:11: file-encoding: the file is not UTF-8 here; save it as UTF-8.",
        ),
        (
            "file-encoding control",
            HEAD.encode() + b"rules: \x01\n",
            "3:8: file-encoding: the file holds a control character here; remove the character.",
        ),
    ]


MISTAKES = _mistakes()
# Told by tests/policies/test_templating.py, about a template and not about a policy file.
TEMPLATE_IDS = {"template"}
WARNING_IDS = {"level-unmet"}
# Shown in test_hostile_sources.py, since its example is long.
SIZE_IDS = {"too-many-levels"}
FOLDER_IDS = {"folder-unreadable", "file-suffix", "file-unreadable", "no-files"}


@pytest.mark.parametrize(("name", "text", "message"), MISTAKES, ids=[name for name, _, _ in MISTAKES])
def test_mistake_is_told_with_its_place_and_its_fix(name: str, text: bytes, message: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        compile_texts({"policy.yaml": text})
    assert str(caught.value) == f"policy.yaml:{message}"
    assert [error.id for error in caught.value.errors] == [name.partition(" ")[0]]


def test_every_error_id_of_the_package_has_a_failing_example() -> None:
    assert (
        _ids_in_source()
        == {name.partition(" ")[0] for name, _, _ in MISTAKES} | FOLDER_IDS | WARNING_IDS | TEMPLATE_IDS | SIZE_IDS
    )


def _ids_in_source() -> set[str]:
    """Return the texts given to `Problem(id=...)`, `add(place, id, ...)` and `_stop(event, id, ...)`."""
    ids: set[str] = set()
    for path in Path(str(keyrung_policies.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [keyword.value for keyword in node.keywords if called == "Problem" and keyword.arg == "id"]
            given += node.args[1:2] if called in ("add", "_stop") else []
            ids |= {str(value.value) for value in given if isinstance(value, ast.Constant)}
    return ids


def test_all_mistakes_of_all_files_come_at_once_in_the_order_of_their_places() -> None:
    first = HEAD + "rules:\n  - {id: one, actions: [], allow: true}\n  - {id: two, actions: [a.b]}\n"
    second = "keyrung: policy/v1\ndefault: allow\nextra: 1\n"
    with pytest.raises(PolicyErrors) as caught:
        compile_texts({"b.yaml": second.encode(), "a.yaml": first.encode()})
    found = [(error.file, error.line, error.id) for error in caught.value.errors]
    assert found == [
        ("a.yaml", 4, "empty-list"),
        ("a.yaml", 5, "effect-count"),
        ("b.yaml", 2, "default-not-deny"),
        ("b.yaml", 3, "unknown-field"),
    ]


def test_broken_declaration_is_told_once_and_not_again_where_it_is_used() -> None:
    text = HEAD + "attributes:\n  resource.n: {type: integer, min: x}\nrules:\n"
    text += "  - {id: one, actions: [a.b], when: {resource.n: 5}, allow: true}\n"
    with pytest.raises(PolicyErrors) as caught:
        compile_texts({"policy.yaml": text.encode()})
    assert [error.line for error in caught.value.errors] == [4]


def test_same_name_in_two_files_names_the_first_place() -> None:
    text = HEAD + "rules:\n  - {id: one, actions: [a.b], allow: true}\n"
    with pytest.raises(PolicyErrors, match=r"b\.yaml:4:10: duplicate-name: .* already declared at a\.yaml:4"):
        compile_texts({"a.yaml": text.encode(), "b.yaml": text.encode()})


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(PolicyErrors) as caught:
        compile_path(tmp_path / "none")
    assert str(caught.value).removeprefix(f"{tmp_path}/") == (
        "none:1:1: folder-unreadable: the folder cannot be read (No such file or directory); check its path."
    )


def test_empty_folder_is_an_error_and_not_an_empty_policy(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(PolicyErrors) as caught:
        compile_path(folder)
    assert str(caught.value) == f"{folder}:1:1: no-files: there is no policy file here; add a file that ends in .yaml."


@pytest.mark.parametrize("name", ["rules.yml", "rules.YAML"])
def test_file_with_another_yaml_ending_is_not_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / name).write_text(GOOD)
    with pytest.raises(PolicyErrors) as caught:
        compile_path(tmp_path)
    ending = name.removeprefix("rules")
    assert (
        str(caught.value)
        == f"{tmp_path / name}:1:1: file-suffix: the file ends in {ending}; rename it to end in .yaml."
    )


def test_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(PolicyErrors) as caught:
        compile_path(tmp_path)
    assert str(caught.value).removeprefix(f"{tmp_path}/") == (
        "folder.yaml:1:1: file-unreadable: the file cannot be read (Is a directory); check its kind and permissions."
    )


def test_level_that_no_served_factor_reaches_is_a_warning_with_its_place() -> None:
    text = HEAD + "levels:\n"
    text += "  hard: {acr: h, any_of: [[webauthn-uv-attested], [otp, webauthn-uv]], above: [easy]}\n"
    text += "  easy: {acr: e, any_of: [[webauthn-uv], [otp]]}\nrules: [{id: one, actions: [a.b], allow: true}]\n"
    (warning,) = compile_texts({"policy.yaml": text.encode()}).warnings
    assert str(warning) == (
        "policy.yaml:4:3: level-unmet: no step-up reaches the level hard yet, so a request that requires it never "
        "passes; add [otp] or [urn:keyrung:possession] or [token-signature-origin-bound] or [token-signature-attested] "
        "to its `any_of`."
    )


def test_level_below_a_reached_one_is_reached() -> None:
    text = (
        HEAD
        + "levels:\n  low: {acr: low, any_of: [[webauthn-uv]]}\n  high: {acr: high, any_of: [[otp]], above: [low]}\n"
    )
    text += "rules: [{id: one, actions: [a.b], allow: true}]\n"
    assert compile_texts({"policy.yaml": text.encode()}).warnings == ()
