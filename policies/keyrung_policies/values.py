"""Which values an attribute's declaration admits; the same check for authors, for bundles and for requests."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from keyrung_policies.model import (
    DEFAULT_TEXT_CHARS,
    Attribute,
    BooleanAttribute,
    EnumAttribute,
    IntegerAttribute,
    IpAttribute,
    SetAttribute,
    TextAttribute,
)

Check: TypeAlias = Callable[[object], bool]


def compile_check(attribute: Attribute) -> Check:
    """Return a function that says whether a value is one the declaration admits; a bool is never an integer here."""
    match attribute:
        case BooleanAttribute():
            return lambda value: value is True or value is False
        case IntegerAttribute(min=least, max=most):
            return lambda value: type(value) is int and least <= value <= most
        case TextAttribute(max_length=most):
            return lambda value: type(value) is str and len(value) <= most
        case EnumAttribute(values=values):
            members = frozenset(values)
            return lambda value: type(value) is str and value in members
        case IpAttribute():
            return lambda value: type(value) is str and parse_address(value) is not None
        case SetAttribute(min_items=fewest, max_items=most):
            fits = compile_item_check(attribute)
            return lambda value: type(value) is tuple and fewest <= len(value) <= most and all(map(fits, value))


def compile_item_check(attribute: SetAttribute) -> Check:
    """Return a function that says whether a value may be an item of the set."""
    if attribute.values is None:
        return lambda item: type(item) is str and len(item) <= DEFAULT_TEXT_CHARS
    members = frozenset(attribute.values)
    return lambda item: type(item) is str and item in members


def value_fits(attribute: Attribute, value: object) -> bool:
    """Return whether a value is one that the declaration admits."""
    return compile_check(attribute)(value)


def describe(attribute: Attribute) -> str:
    """Return in words which values the declaration admits."""
    match attribute:
        case BooleanAttribute():
            return "true or false"
        case IntegerAttribute(min=least, max=most):
            return f"an integer from {least} to {most}"
        case TextAttribute(max_length=most):
            return f"a text of at most {most} characters"
        case EnumAttribute(values=values):
            return f"one of {', '.join(values)}"
        case IpAttribute():
            return "an IPv4 or IPv6 address"
        case SetAttribute(min_items=fewest, max_items=most, values=values):
            items = "texts" if values is None else f"of {', '.join(values)}"
            return f"a list of {fewest} to {most} {items}"


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address, an IPv4-mapped one as IPv4 so that it cannot slip past an IPv4 network."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A zone (RFC 4007 section 11) has a meaning on one host only.
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def parse_network(text: str) -> IPv4Network | IPv6Network | None:
    """Return the network if the text is its one canonical form."""
    try:
        network = ip_network(text)
    except ValueError:
        return None
    return network if str(network) == text else None
