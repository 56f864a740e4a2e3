"""Between the engine's property values and plain Python values; an unknown value keeps a kind of its own.

The SDK hands an unknown value over as the text that stands for one on the wire, and can itself write only that text.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_ON_THE_WIRE


class Unknown(Enum):
    """The one value of a property that is known only after another resource was made."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN

Plain = str | bool | int | float | None | Unknown | list["Plain"] | dict[str, "Plain"]


def to_plain(value: PropertyValue) -> Plain:
    """Return the Python value inside ``value``; whole numbers become int."""
    inner = value.value
    if isinstance(inner, Computed) or inner == UNKNOWN_ON_THE_WIRE:
        return UNKNOWN
    if isinstance(inner, bool) or inner is None or isinstance(inner, str):
        return inner
    if isinstance(inner, float):
        return int(inner) if inner.is_integer() else inner
    if isinstance(inner, Mapping):
        return {name: to_plain(item) for name, item in inner.items()}
    if isinstance(inner, (list, tuple)):
        return [to_plain(item) for item in inner]
    raise TypeError(f"a property of type {type(inner).__name__} is not supported")


def from_plain(value: Plain) -> PropertyValue:
    """Return ``value`` as the engine takes it."""
    if value is UNKNOWN:
        return PropertyValue(UNKNOWN_ON_THE_WIRE)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return PropertyValue(value)
    if isinstance(value, (int, float)):
        return PropertyValue(float(value))
    if isinstance(value, list):
        return PropertyValue([from_plain(item) for item in value])
    if isinstance(value, dict):
        return PropertyValue({name: from_plain(item) for name, item in value.items()})
    raise TypeError(f"a value of type {type(value).__name__} is not supported")


def plain_map(values: Mapping[str, PropertyValue]) -> dict[str, Plain]:
    """Return every property as a plain value."""
    return {name: to_plain(value) for name, value in values.items()}


def property_map(values: Mapping[str, Plain]) -> dict[str, PropertyValue]:
    """Return every plain value as a property."""
    return {name: from_plain(value) for name, value in values.items()}
