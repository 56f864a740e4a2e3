"""Display texts: what the user reads before approving, filled from declared attributes only.

What a person approves must be what the request says, so a value can neither hide text nor turn its
direction: everything invisible or direction-changing is written out as an escape.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from keyrung_policies.errors import DisplayError, Problem
from keyrung_policies.model import Attribute, EnumAttribute, IntegerAttribute, SetAttribute, Value

# Digits after the decimal mark -> currencies (ISO 4217, column "minor unit").
CURRENCIES_BY_DIGITS: dict[int, tuple[str, ...]] = {
    0: ("CLP", "ISK", "JPY", "KRW", "PYG", "RWF", "UGX", "VND", "XAF", "XOF", "XPF"),
    2: (
        *("AED", "ARS", "AUD", "BGN", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "EGP", "EUR", "GBP"),
        *("HKD", "HUF", "IDR", "ILS", "INR", "KES", "MAD", "MXN", "MYR", "NGN", "NOK", "NZD", "PEN", "PHP"),
        *("PLN", "QAR", "RON", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD", "ZAR"),
    ),
    3: ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"),
}
MINOR_UNITS = {code: digits for digits, codes in CURRENCIES_BY_DIGITS.items() for code in codes}
FIELD_FIX = "write fields as {name} or {name|money:currency_name}, and braces as {{ and }}"
# Blank although Python calls them printable: Unicode's Default_Ignorable_Code_Point beyond category Cf, the empty
# Braille pattern and the null notehead. They would hide a difference between two texts, or make a gap in one.
_BLANK = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0000-\U000e0fff"
)
_ESCAPED = re.compile(rf"[\\{_BLANK}]")
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A place to fill: an attribute, as money when `currency` names the attribute that holds the currency."""

    attribute: str
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A parsed display text: literal pieces and fields in order."""

    parts: tuple[str | Field, ...]

    def attributes(self) -> frozenset[str]:
        """Return the attributes the text shows."""
        fields = [part for part in self.parts if isinstance(part, Field)]
        return frozenset(name for field in fields for name in (field.attribute, field.currency) if name)


def parse_template(text: str) -> Template | Problem:
    """Return the parsed text, or why it is not a display text."""
    parts: list[str | Field] = []
    position = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[position : token.start()])
        position = token.end()
        if token.group() in ("{{", "}}"):
            parts.append(token.group()[0])
        elif token.group(1) is None:
            return _syntax_problem("a brace stands alone")
        else:
            field = _field(token.group(1))
            if field is None:
                return _syntax_problem(f"{token.group()} is not a field")
            parts.append(field)
    parts.append(text[position:])
    if not text.strip():
        return _syntax_problem("the display text is empty", "write what the user approves")
    if any(isinstance(part, str) and escape(part) != part.replace("\\", "\\u{5C}") for part in parts):
        return _syntax_problem("the display text holds an invisible character", "remove the character")
    return Template(parts=tuple(part for part in parts if part != ""))


def _field(text: str) -> Field | None:
    attribute, bar, money = text.partition("|")
    filter_name, colon, currency = money.partition(":")
    if not attribute or (bar and (filter_name != "money" or not colon or not currency)):
        return None
    return Field(attribute=attribute, currency=currency or None)


def _syntax_problem(sentence: str, fix: str = FIELD_FIX) -> Problem:
    return Problem(id="display-syntax", sentence=sentence, fix=fix)


def template_problem(template: Template, attributes: Mapping[str, Attribute]) -> Problem | None:
    """Return why the fields of a display text do not fit the declared attributes, or None."""
    for name in sorted(template.attributes()):
        if name not in attributes:
            return Problem(
                id="undeclared-attribute",
                sentence=f"the attribute {name} is not declared",
                fix="declare it under `attributes` or correct the name",
            )
        declared = attributes[name]
        if isinstance(declared, SetAttribute) and declared.values is None:
            return Problem(
                id="display-list",
                sentence=f"{name} lists free texts, so one text could look like several",
                fix="declare its `values`, or show another attribute",
            )
    for part in template.parts:
        if isinstance(part, Field) and part.currency is not None and not _money_fits(part, attributes):
            return Problem(
                id="display-money",
                sentence=f"{part.attribute} in {part.currency} cannot be shown as money",
                fix="use an integer attribute in minor units and an enum attribute of known ISO 4217 codes",
            )
    return None


def _money_fits(field: Field, attributes: Mapping[str, Attribute]) -> bool:
    currency = attributes[field.currency or ""]
    return (
        isinstance(attributes[field.attribute], IntegerAttribute)
        and isinstance(currency, EnumAttribute)
        and all(code in MINOR_UNITS for code in currency.values)
    )


def render(template: Template, attributes: Mapping[str, Value]) -> str:
    """Return the text a person reads.

    Raises:
        DisplayError: An attribute the text shows is missing.
    """
    return "".join([part if isinstance(part, str) else _fill(part, attributes) for part in template.parts])


def _fill(field: Field, attributes: Mapping[str, Value]) -> str:
    value = _present(attributes, field.attribute)
    if field.currency is not None:
        return money(int(str(value)), str(_present(attributes, field.currency)))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(escape(item) for item in sorted(set(value)))
    return escape(str(value))


def _present(attributes: Mapping[str, Value], name: str) -> Value:
    if name not in attributes:
        raise DisplayError(name)
    return attributes[name]


def money(amount_minor: int, currency: str) -> str:
    """Return an amount with the decimals of its currency and thousands set apart by a space, as in `1 234.50 EUR`."""
    digits = MINOR_UNITS[currency]
    whole, fraction = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 else ""
    decimals = f".{fraction:0{digits}d}" if digits else ""
    return f"{sign}{whole:,}{decimals} {currency}".replace(",", " ")


def escape(text: str) -> str:
    r"""Return the text with invisible and direction-changing characters written as `\u{HEX}`.

    Unicode's categories "other" and "separator" are written out, the plain space excepted: controls, all bidi
    controls, zero-width characters, unassigned ones. So are fillers and variation selectors, which show as nothing, and
    the backslash, so no value can imitate an escape.
    """
    if text.isprintable() and _ESCAPED.search(text) is None:
        return text
    return "".join(
        char if char.isprintable() and _ESCAPED.match(char) is None else rf"\u{{{ord(char):X}}}" for char in text
    )
