"""Between the engine's property values and plain Python values; an unknown value and a file stay what they are."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pulumi import Archive, Asset, FileArchive
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_ON_THE_WIRE
from pulumi.runtime.rpc import _special_archive_sig, _special_sig_key


class Unknown(Enum):
    """The one value that is known only after another resource was made."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


def plain(value: PropertyValue) -> Any:
    """Return the Python value inside; whole numbers become int."""
    inner = value.value
    if isinstance(inner, Computed) or inner == UNKNOWN_ON_THE_WIRE:
        return UNKNOWN
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    if isinstance(inner, Mapping):
        return {name: plain(item) for name, item in inner.items()}
    if isinstance(inner, (list, tuple)):
        return [plain(item) for item in inner]
    return inner


def plain_map(values: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """Return every property that has a value, as a plain one."""
    return {name: found for name, value in values.items() if (found := plain(value)) is not None}


def on_the_wire(value: Any) -> PropertyValue:
    """Return ``value`` as the engine takes it."""
    if value is UNKNOWN:
        return PropertyValue(UNKNOWN_ON_THE_WIRE)
    if isinstance(value, bool) or value is None or isinstance(value, (str, Asset, Archive)):
        return PropertyValue(value)
    if isinstance(value, (int, float)):
        return PropertyValue(float(value))
    if isinstance(value, Mapping):
        return PropertyValue({name: on_the_wire(item) for name, item in value.items()})
    return PropertyValue([on_the_wire(item) for item in value])


def wire_map(values: Mapping[str, Any]) -> dict[str, PropertyValue]:
    """Return every property as the engine takes it."""
    return {name: on_the_wire(value) for name, value in values.items()}


def read_files_without_paths() -> None:
    """Have the SDK read a file that comes without its path, as the engine sends it where it asks for differences."""
    read = PropertyValue.unmarshal

    def unmarshal(value: Any) -> PropertyValue:
        fields = value.struct_value.fields if value.WhichOneof("kind") == "struct_value" else {}
        if _special_sig_key not in fields or fields[_special_sig_key].string_value != _special_archive_sig:
            return read(value)
        return PropertyValue(FileArchive(fields["path"].string_value if "path" in fields else ""))

    PropertyValue.unmarshal = staticmethod(unmarshal)  # type: ignore[method-assign]


def content(archive: Archive) -> bytes:
    """Return the bytes of a zip file."""
    if not isinstance(archive, FileArchive):
        raise ValueError("this double takes code as a FileArchive of a zip only")
    return Path(archive.path).read_bytes()
