"""What an entry of a table consists of: the calls that make, read, change and delete one type of resource."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3

Plain = Mapping[str, Any]


class Aws:
    """The account behind `AWS_ENDPOINT_URL`."""

    def __init__(self, region: str) -> None:
        """Work in ``region``."""
        self.region = region
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return a client of boto3."""
        if service not in self._clients:
            self._clients[service] = boto3.client(service, region_name=self.region)
        return self._clients[service]

    @cached_property
    def account(self) -> str:
        """The number of the account."""
        return str(self.client("sts").get_caller_identity()["Account"])

    def arn(self, service: str, rest: str) -> str:
        """Return an ARN in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{rest}"


def _unchangeable(_aws: Aws, _resource_id: str, _old: Plain, _new: Plain) -> None:
    raise ValueError("this double cannot change such a resource in place")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One type of resource.

    Attributes:
        token: As Pulumi names the type.
        create: Makes it of its inputs and returns its id.
        read: Returns its outputs, and inputs as they are now in AWS (of those that were given); None if it is gone.
        update: Changes it from old to new inputs.
        delete: Deletes it; already gone counts as done.
        inputs: Those that there is code for.
        replaces: Those whose change makes another one.
        named: The input that gets a name made up, if it is left out.
        renewed: Outputs that an update may change.
        archive: The input that is a file.
    """

    token: str
    create: Callable[[Aws, Plain], str]
    read: Callable[[Aws, str, Plain], dict[str, Any] | None]
    delete: Callable[[Aws, str, Plain], None]
    inputs: frozenset[str]
    update: Callable[[Aws, str, Plain, Plain], None] = _unchangeable
    replaces: frozenset[str] = frozenset()
    named: str | None = None
    renewed: frozenset[str] = field(default_factory=frozenset)
    archive: str | None = None


def names(text: str) -> frozenset[str]:
    """Return the words of ``text``."""
    return frozenset(text.split())


def tag_list(inputs: Plain, *, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Return the tags as most services write them."""
    return [{key: name, value: text} for name, text in sorted(inputs.get("tags", {}).items())]


def given(inputs: Plain, **calls: str) -> dict[str, Any]:
    """Return the parameters of a call, each from the input that is named, as far as that was given."""
    return {parameter: inputs[name] for parameter, name in calls.items() if inputs.get(name) is not None}
