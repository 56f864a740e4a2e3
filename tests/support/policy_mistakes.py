"""Every mistake an author can make in a policy file, each with the words that tell it."""

from dataclasses import dataclass
from pathlib import Path

import yaml

HEAD = "keyrung: policy/v1\ndefault: deny\n"
DECLARATIONS = (
    HEAD
    + """attributes:
  resource.amount: {type: integer, min: 0, max: 1000}
  resource.currency: {type: enum, values: [EUR, XXX]}
  resource.payee: {type: text}
  signal.new: {type: boolean}
  context.ip: {type: ip}
levels:
  otp: {acr: o, any_of: [[otp]]}
"""
)
RULES = DECLARATIONS + "rules:\n"
GOOD = RULES + "  - {id: one, actions: [a.b], allow: true}\n"


PRELUDES = {"nothing": "", "head": HEAD, "declarations": DECLARATIONS, "rules": RULES, "good": GOOD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A whole file with one mistake; the name begins with the id of the error."""

    name: str
    text: str
    told: str


def mistakes() -> list[Mistake]:
    """Return the mistakes of `tests/policies/mistakes.yaml`."""
    items = yaml.safe_load((Path(__file__).parents[1] / "policies" / "mistakes.yaml").read_text())
    return [
        Mistake(name=item["name"], text=PRELUDES[item["after"]] + item["text"], told=item["told"]) for item in items
    ]
