"""YAML text to a tree of nodes that know their place: the only module that loads yaml.

Authors get every mistake with file, line and column, so the node tree is walked instead of constructed
values. What YAML offers beyond plain mappings, lists and scalars (aliases, tags, merge keys, several
documents, octal and sexagesimal numbers) is refused: a policy reads the same for a person and a machine.
"""

import re
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import yaml

from keyrung_policies.errors import Place, Problem, SourceError

# A reviewer cannot read more, and it bounds the work on a hostile file.
MAX_FILE_BYTES = 1024 * 1024
# The language itself needs about 20 levels at its deepest condition.
MAX_DEPTH = 48

ScalarKind: TypeAlias = Literal["text", "integer", "boolean", "other"]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
# More digits than any number we accept; also keeps Python's conversion limit out of play.
_MAX_INTEGER_CHARS = 20
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_BOOLEANS = {"true": True, "false": False}
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A text, integer or boolean; `raw` is what stands in the file, without quotes."""

    place: Place
    kind: ScalarKind
    raw: str
    value: str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key with its own place, and what it maps to."""

    key: str
    place: Place
    node: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A mapping; keys are texts and unique."""

    place: Place
    entries: tuple[Entry, ...]


Node: TypeAlias = Scalar | Sequence | Mapping


class _Mark(Protocol):
    """A position of yaml's, whichever of its readers made it; counts from 0."""

    line: int
    column: int


class _Refused(Exception):  # noqa: N818 - private control flow, always turned into a SourceError
    def __init__(self, error: SourceError) -> None:
        self.error = error


class _Composer(yaml.SafeLoader):
    """The safe loader, stopped at anchors, aliases and too deep nesting before it follows them."""

    file = ""
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._stop(event, "yaml-alias", "anchors and aliases are not used here", "write the value out")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._stop(event, "yaml-depth", "the nesting is too deep", f"stay within {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _stop(self, event: yaml.Event, problem_id: str, sentence: str, fix: str) -> None:
        place = _place(event.start_mark, self.file)
        raise _Refused(place.error(Problem(id=problem_id, sentence=sentence, fix=fix)))


def parse_source(data: bytes, *, file: str) -> tuple[Mapping | None, list[SourceError]]:
    """Return the top mapping of a file, or None with the reasons.

    Repeated and non-text keys are reported and the tree without them is returned, so that the rest of the
    file is still checked.
    """
    start = Place(file=file, line=1, column=1)
    if len(data) > MAX_FILE_BYTES:
        problem = Problem(
            id="file-too-large", sentence=f"the file exceeds {MAX_FILE_BYTES} bytes", fix="split it into several"
        )
        return None, [start.error(problem)]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        problem = Problem(id="file-encoding", sentence="the file is not UTF-8 here", fix="save it as UTF-8")
        return None, [Place(file=file, line=line, column=column).error(problem)]
    try:
        return _walk_document(_compose(text, file), start)
    except _Refused as refused:
        return None, [refused.error]


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        loader = _Composer(text)
        loader.file = file
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        problem = Problem(
            id="file-encoding", sentence="the file holds a control character here", fix="remove the character"
        )
        raise _Refused(Place(file=file, line=line, column=column).error(problem)) from error
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark, file)
        said = " ".join(part for part in (error.context, error.problem) if part)
        problem = Problem(
            id="yaml-syntax",
            sentence=f"the YAML cannot be read ({said})",
            fix="correct the indentation, quotes or brackets at this place",
        )
        raise _Refused(place.error(problem)) from error
    except (ValueError, OverflowError) as error:
        # The library lets a number out that no character or version has, as in "\\UFFFFFFFF".
        problem = Problem(
            id="yaml-syntax", sentence="an escape or directive is out of range", fix="write the character itself"
        )
        raise _Refused(Place(file=file, line=1, column=1).error(problem)) from error


def _walk_document(node: yaml.Node | None, start: Place) -> tuple[Mapping | None, list[SourceError]]:
    errors: list[SourceError] = []
    top = None if node is None else _walk(node, start.file, errors)
    if isinstance(top, Mapping):
        return top, errors
    problem = Problem(
        id="file-shape", sentence="the file is not a mapping", fix="begin it with the line `keyrung: policy/v1`"
    )
    return None, [*errors, (top.place if top is not None else start).error(problem)]


def _walk(node: yaml.Node, file: str, errors: list[SourceError]) -> Node:
    place = _place(node.start_mark, file)
    if isinstance(node, yaml.MappingNode):
        return Mapping(place=place, entries=tuple(_entries(node, file, errors)))
    if isinstance(node, yaml.SequenceNode):
        return Sequence(place=place, items=tuple(_walk(item, file, errors) for item in node.value))
    return _scalar(node, place)


def _entries(node: yaml.MappingNode, file: str, errors: list[SourceError]) -> list[Entry]:
    first_lines: dict[str, int] = {}
    entries: list[Entry] = []
    for key_node, value_node in node.value:
        place = _place(key_node.start_mark, file)
        # Tags other than text: a number, a date, `yes`, or the merge key `<<`.
        if not isinstance(key_node, yaml.ScalarNode) or _scalar(key_node, place).kind != "text":
            problem = Problem(
                id="key-not-text", sentence="a key is not plain text", fix="write a name, quoted if need be"
            )
            errors.append(place.error(problem))
            continue
        key = key_node.value
        if key in first_lines:
            problem = Problem(
                id="duplicate-key",
                sentence=f"the key {key!r} was already written in line {first_lines[key]}",
                fix="keep one of the two",
            )
            errors.append(place.error(problem))
            continue
        first_lines[key] = place.line
        entries.append(Entry(key=key, place=place, node=_walk(value_node, file, errors)))
    return entries


def _scalar(node: yaml.Node, place: Place) -> Scalar:
    raw = str(node.value)
    # An escape can name half a surrogate pair, which no canonical text may hold (RFC 8785 section 3.2.2.2).
    if node.tag == f"{_TAG}str" and _SURROGATE.search(raw) is None:
        return Scalar(place=place, kind="text", raw=raw, value=raw)
    # YAML 1.1 also reads 010, 1_000, 1:30, yes and on as numbers and booleans; none of these is obvious.
    if node.tag == f"{_TAG}int" and _INTEGER.fullmatch(raw) and len(raw) <= _MAX_INTEGER_CHARS:
        return Scalar(place=place, kind="integer", raw=raw, value=int(raw))
    if node.tag == f"{_TAG}bool" and raw in _BOOLEANS:
        return Scalar(place=place, kind="boolean", raw=raw, value=_BOOLEANS[raw])
    return Scalar(place=place, kind="other", raw=raw, value=raw)


def _place(mark: _Mark | None, file: str) -> Place:
    return (
        Place(file=file, line=1, column=1)
        if mark is None
        else Place(file=file, line=mark.line + 1, column=mark.column + 1)
    )
