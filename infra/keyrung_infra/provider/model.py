"""What a resource type is: a table of properties, and the few operations the engine asks for.

Checks, diffs and the schema are derived from the tables, so that a property is described once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol, runtime_checkable

from keyrung_infra.provider.values import Plain

Values = Mapping[str, Plain]


class OnChange(StrEnum):
    """What a changed input leads to."""

    UPDATE = "in place"
    REPLACE = "replacement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One input or output.

    Attributes:
        type: JSON type: string, integer, boolean, array or object.
        default: Value of an input that was left out; None makes the input required, unless it is optional.
        choices: The only values allowed, if closed.
        items: Of an array, the type of its items: string, or object of any form.
        optional: Whether the input may be left out without a default.
        members: Of an object with a fixed form, its members.
        object_name: The name that such an object's type has in the schema.
    """

    type: str
    description: str
    default: Plain = None
    choices: tuple[str, ...] = ()
    on_change: OnChange = OnChange.UPDATE
    items: str = "string"
    optional: bool = False
    members: Mapping[str, "Property"] = field(default_factory=dict)
    object_name: str = ""

    @property
    def required(self) -> bool:
        """Whether the input must be given."""
        return self.default is None and not self.optional


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An input that is wrong, and why."""

    property: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An existing thing taken under management."""

    resource_id: str
    inputs: Values
    outputs: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one property differs."""

    kind: OnChange
    input: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How declaration and state differ, property by property; empty means not at all."""

    by_property: Mapping[str, Change] = field(default_factory=dict)

    @property
    def replaces(self) -> list[str]:
        """The properties that cannot be changed in place."""
        return [name for name, change in self.by_property.items() if change.kind is OnChange.REPLACE]


@runtime_checkable
class Ageing(Protocol):
    """A kind of resource that can be past its time although nothing about it changes."""

    def overdue(self, state: Values, inputs: Values) -> list[str]:
        """Return what a person should know of the thing as it is, one sentence each; every diff shows it."""
        ...


class Checked(Protocol):
    """What is declared by inputs."""

    @property
    def inputs(self) -> Mapping[str, Property]:
        """The table of inputs."""
        ...

    def check(self, inputs: Values) -> list[Failure]:
        """Return what is wrong with inputs that have the right types; unknown values are not judged."""
        ...


class Described(Protocol):
    """What the schema tells of."""

    token: ClassVar[str]
    description: ClassVar[str]

    @property
    def inputs(self) -> Mapping[str, Property]:
        """The table of inputs."""
        ...

    @property
    def outputs(self) -> Mapping[str, Property]:
        """The table of what else there is."""
        ...


class ResourceType(Protocol):
    """One kind of resource. Every operation raises only the error families of this project."""

    token: ClassVar[str]
    description: ClassVar[str]
    inputs: ClassVar[Mapping[str, Property]]
    outputs: ClassVar[Mapping[str, Property]]

    def check(self, inputs: Values) -> list[Failure]:
        """Return what is wrong with inputs that have the right types; unknown values are not judged."""
        ...

    def drift(self, state: Values, inputs: Values) -> Mapping[str, Change]:
        """Return differences that no input shows: time that ran out, a store that changed."""
        ...

    def guard(self, state: Values, inputs: Values, changes: Changes) -> None:
        """Refuse changes that must not happen, already in the preview."""
        ...

    def planned(self, inputs: Values, state: Values | None) -> Values:
        """Return the outputs that are known before anything is made; the others stay unknown.

        ``state`` is None when the thing would be created, else what an update starts from.
        """
        ...

    def advice(self, inputs: Values, state: Values | None) -> list[str]:
        """Return what a person should know before this is made (``state`` is None) or changed, one sentence each.

        The preview shows them as warnings.
        """
        ...

    def create(self, urn: str, inputs: Values) -> tuple[str, Values]:
        """Make the thing and return its id and outputs."""
        ...

    def read(self, urn: str, resource_id: str, state: Values) -> Values:
        """Return the outputs as they are now, and inputs that changed outside of Pulumi.

        Raises when the thing is gone or is another one.
        """
        ...

    def adopt(self, urn: str, resource_id: str) -> Imported:
        """Take over an existing thing named by ``resource_id`` (`pulumi import`)."""
        ...

    def update(self, urn: str, state: Values, inputs: Values) -> Values:
        """Change the thing in place and return its outputs."""
        ...

    def delete(self, urn: str, state: Values) -> None:
        """Remove the thing; already gone counts as done."""
        ...
