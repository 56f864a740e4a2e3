"""Policy templates (Jinja2) to policy files: what is rendered is what people review, and what is signed.

A template can only place its parameters and repeat or leave out lines. Every value becomes one YAML value, so none can
break out of its place; there is no loader, no global function and no clock, so the same parameters give the same text.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.filters import FILTERS
from jinja2.lexer import Token, TokenStream
from jinja2.sandbox import ImmutableSandboxedEnvironment

from keyrung_policies.compile import Compiled, compile_texts
from keyrung_policies.errors import Place, PolicyErrors, Problem, SourceError
from keyrung_policies.model import MAX_INTEGER
from keyrung_policies.parameters import ParameterValue
from keyrung_policies.source import MAX_FILE_BYTES

# Filters whose work stays in proportion to what they are given.
ALLOWED_FILTERS = ("join", "length", "lower", "sort", "unique", "upper")
# What they make is a value, which stands as one quoted text and not as lines.
_TEXT_BLOCKS = (nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock)
_INTEGER_OPERATORS = ("+", "-", "*", "//", "%")
# Private-use characters around a line number; a template that holds one is refused.
_BEGIN, _END = "\ue000", "\ue001"
# Texts like 5m, phr or payments.transfer need no quotes, unless YAML takes them for something else.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_STAMP = re.compile(f"{_BEGIN}([0-9]+){_END}")
_STAMPS = re.compile(f"(?:{_BEGIN}[0-9]+{_END})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A rendered policy file; `template_lines` says for each of its lines which line of the template it is from."""

    text: str
    file: str
    template: str
    template_lines: tuple[int, ...]

    def compile(self) -> Compiled:
        """Return the policy, with mistakes told at the lines of the template.

        Raises:
            PolicyErrors: With every mistake.
        """
        try:
            return compile_texts({self.file: self.text.encode()})
        except PolicyErrors as error:
            raise PolicyErrors(tuple(map(self._in_template, error.errors))) from error

    def _in_template(self, error: SourceError) -> SourceError:
        line = self.template_lines[min(error.line, len(self.template_lines)) - 1]
        rendered, written = self.text.splitlines()[error.line - 1 :][:1], self.template.splitlines()[line - 1]
        same = _common_length(rendered[0] if rendered else "", written)
        # Behind the first value that was filled in, columns differ: the value's own is the last that is sure.
        return replace(error, line=line, column=min(error.column, same + 1))


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 with nothing in it that reads, waits, or makes much out of little."""

    # All arithmetic: on texts and lists it would repeat or pad them.
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            finalize=_yaml_value,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            extensions=[_LineStamps],
        )
        self.globals = {}
        self.filters = {name: FILTERS[name] for name in ALLOWED_FILTERS}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int) and operator in _INTEGER_OPERATORS:
            result = super().call_binop(context, operator, left, right)
            if abs(result) <= MAX_INTEGER:
                return result
            raise SecurityError(f"the result of {operator} exceeds {MAX_INTEGER}")
        raise SecurityError(f"the operator {operator} is not used in templates")

    def call(self, context: Any, obj: Any, *arguments: Any, **named: Any) -> Any:
        # A method of a text can make it as long as it likes; what is undefined says so itself.
        if not isinstance(obj, StrictUndefined):
            raise SecurityError("templates call nothing")
        return super().call(context, obj, *arguments, **named)


class _LineStamps(Extension):
    """Puts the template's line number at the start of every line, to be taken out again after rendering."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            yield token if token.type != "data" else Token(token.lineno, "data", _stamped(token.value, token.lineno))


def render(template: str, parameters: dict[str, ParameterValue], *, file: str) -> Rendered:
    """Return the policy file that a template makes of these parameters.

    Raises:
        PolicyErrors: The template is wrong or uses what it was not given; told at its line.
    """
    if _BEGIN in template or _END in template:
        raise _error(file, 1, "the template holds a private-use character", "remove U+E000 and U+E001")
    try:
        environment = _Environment()
        parsed = environment.parse(template)
        for node in parsed.find_all(_TEXT_BLOCKS):
            raise _error(file, node.lineno, "a block makes its text a value", "write the lines where they belong")
        compiled = environment.from_string(parsed)
        stamped = "".join(_bounded(compiled.generate(parameters), file))
    except TemplateSyntaxError as error:
        sentence = str(error.message).rstrip(".")
        raise _error(file, error.lineno, sentence, "correct the expression or statement") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        sentence = str(error).rstrip(".")
        raise _error(file, _line_of(error), sentence, "use declared parameters, and no other function") from error
    lines = stamped.split("\n")
    return Rendered(
        text=_STAMP.sub("", stamped), file=file, template=template, template_lines=tuple(_template_lines(lines))
    )


def _template_lines(lines: list[str]) -> Iterator[int]:
    line = 1
    for text in lines:
        # A statement that left nothing of its own line has put its stamp before that of the line that is here.
        begins = _STAMPS.match(text)
        if begins is not None:
            line = int(_STAMP.findall(begins.group())[-1])
        yield line


def _stamped(text: str, line: int) -> str:
    return "\n".join(f"{_BEGIN}{line + index}{_END}{part}" for index, part in enumerate(text.split("\n")))


def _bounded(pieces: Iterable[str], file: str) -> Iterator[str]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_FILE_BYTES:
            raise _error(file, 1, f"the rendered policy exceeds {MAX_FILE_BYTES} characters", "split the template")
        yield piece


def _yaml_value(value: object) -> object:
    """Return a value as one YAML value; texts are quoted where need be, so that none can be more than a text."""
    if isinstance(value, StrictUndefined):
        return str(value)  # raises, naming what is undefined
    if isinstance(value, str) and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    if isinstance(value, (str, bool, int, list, tuple)):
        return "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))
    raise SecurityError(f"a {type(value).__name__} is no value of a policy")


def _escaped(character: str) -> str:
    # YAML writes what is not to be seen with eight digits (YAML 1.1 section 5.6); JSON's pairs of surrogates are two
    # characters to it.
    return character if character.isprintable() else f"\\U{ord(character):08X}"


def _line_of(error: BaseException) -> int:
    """Return the template's line at which it failed: Jinja2 rewrites the traceback to the template's own lines."""
    line, frame = 1, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<template>":
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _error(file: str, line: int, sentence: str, fix: str) -> PolicyErrors:
    problem = Problem(id="template", sentence=sentence, fix=fix)
    return PolicyErrors((Place(file=file, line=line, column=1).error(problem),))


def _common_length(first: str, second: str) -> int:
    pairs = zip(first, second, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))
