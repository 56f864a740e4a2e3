"""Display texts: money in its own decimals, and values that cannot hide or turn what a person reads."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrung_policies.display import Template, escape, money, parse_template, render
from keyrung_policies.errors import DisplayError
from keyrung_policies.model import Value


def filled(text: str, attributes: dict[str, Value]) -> str:
    template = parse_template(text)
    assert isinstance(template, Template)
    return render(template, attributes)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (0, "EUR", "0.00 EUR"),
        (5, "EUR", "0.05 EUR"),
        (123456789, "USD", "1 234 567.89 USD"),
        (-150, "GBP", "-1.50 GBP"),
        (1500, "JPY", "1 500 JPY"),
        (1500, "KWD", "1.500 KWD"),
    ],
)
def test_money_has_the_decimals_of_its_currency(amount_minor: int, currency: str, text: str) -> None:
    assert money(amount_minor, currency) == text


def test_fields_are_filled_and_doubled_braces_are_braces() -> None:
    attributes: dict[str, Value] = {"resource.n": 3, "resource.ok": True, "resource.name": "Zoë"}
    assert filled("{{{resource.n}}} {resource.ok} {resource.name}", attributes) == "{3} true Zoë"


def test_value_that_looks_like_a_field_is_not_filled_again() -> None:
    assert filled("{resource.a}", {"resource.a": "{resource.b}", "resource.b": "secret"}) == "{resource.b}"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("Bob\nTransfer 1 EUR", "Bob\\u{A}Transfer 1 EUR"),
        ("\u202eecila", "\\u{202E}ecila"),
        ("a\u2066b\u2069", "a\\u{2066}b\\u{2069}"),
        ("x\u200by", "x\\u{200B}y"),
        ("\x1b[2J", "\\u{1B}[2J"),
        ("a\u00a0b\u2028c", "a\\u{A0}b\\u{2028}c"),
        ("\ud800\U000e0041", "\\u{D800}\\u{E0041}"),
        ("\\u{41}", "\\u{5C}u{41}"),
        ("Bob\u3164\u115f\uffa0x", "Bob\\u{3164}\\u{115F}\\u{FFA0}x"),
        ("B\u034fo\ufe0fb\U000e0100", "B\\u{34F}o\\u{FE0F}b\\u{E0100}"),
        ("Bob\u2800\u2800\U0001d159", "Bob\\u{2800}\\u{2800}\\u{1D159}"),
    ],
)
def test_characters_that_hide_or_turn_text_are_written_out(hostile: str, shown: str) -> None:
    assert escape(hostile) == shown


@settings(deadline=None)
@given(st.text())
def test_every_shown_text_is_printable_and_stands_for_one_value_only(text: str) -> None:
    shown = escape(text)
    assert shown.isprintable()
    assert re.sub(r"\\u\{([0-9A-F]+)\}", lambda match: chr(int(match[1], 16)), shown) == text


def test_missing_attribute_is_named() -> None:
    with pytest.raises(DisplayError, match=r"resource\.payee"):
        filled("to {resource.payee}", {})
    with pytest.raises(DisplayError, match=r"resource\.currency"):
        filled("{resource.n|money:resource.currency}", {"resource.n": 1})
