"""A right answer that a challenge keeps, as the text that every engine stores it in."""

import json
from dataclasses import asdict

from keyrung_verifier.store.protocol import KeptAnswer


def to_text(answer: KeptAnswer) -> str:
    """Return the text for an answer."""
    return json.dumps(asdict(answer), sort_keys=True)


def from_text(text: str) -> KeptAnswer:
    """Return the answer in a text of `to_text`."""
    members = json.loads(text)
    return KeptAnswer(**members | {"factors": tuple(members["factors"]), "amr": tuple(members["amr"])})
