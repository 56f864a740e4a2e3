"""The form in which a step of a key's life reaches the audit log; the inventory hands such steps over."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from keyrung_verifier.strict import convert

Text = Annotated[str, Meta(min_length=1, max_length=2048)]


class KeyName(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key generation a step is about."""

    uri: Text
    generation: Annotated[int, Meta(ge=0)]
    state: Text
    thumbprint: Text | None


class KeyEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step; `event_id` makes handing it over twice harmless."""

    event: Literal[
        "key.claimed",
        "key.created",
        "key.adopted",
        "key.copied",
        "key.escrowed",
        "key.activated",
        "key.restored",
        "key.suspended",
        "key.resumed",
        "key.deactivated",
        "key.compromised",
        "key.destroyed",
        "key.released",
        "key.overdue",
        "key.missing",
        "key.altered",
        "key.foreign",
    ]
    event_id: Text
    purpose: Text
    at: Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")]
    key: KeyName


def parse_key_event(event: Mapping[str, object]) -> KeyEvent:
    """Return the step.

    Raises:
        StrictFormError: It has another form.
    """
    return convert(dict(event), KeyEvent)
