"""Policies written in a few lines for tests of the analysis."""

from __future__ import annotations

from textwrap import dedent, indent

from keyrung_policies.compile import Compiled, compile_texts

HEAD = """\
keyrung: policy/v1
default: deny
attributes:
  resource.amount: {type: integer, min: 0, max: 1000}
  resource.path: {type: text, max_length: 20}
  subject.team: {type: enum, values: [ops, sales]}
  subject.roles: {type: set}
  signal.odd: {type: boolean}
  context.address: {type: ip}
levels:
  otp: {acr: "urn:keyrung:otp", any_of: [[otp]]}
  phr: {acr: phr, any_of: [[token-signature-origin-bound]], above: [otp]}
rules:
"""


def compiled(rules: str, *, beside: str = "", head: str = HEAD) -> Compiled:
    """Return a policy of these rules over common attributes and levels; ``beside`` are further sections."""
    text = head + indent(dedent(rules), "  ") + "\n" + dedent(beside)
    return compile_texts({"policy.yaml": text.encode()})
