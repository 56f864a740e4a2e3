"""A `Key` whose key another resource makes, such as `aws.kms.Key`: how it is named, and what may follow it.

That resource owns the key: it makes it, names it by an alias and deletes it. This one reads it back, claims it in the
inventory, records the evidence, and gives it states and generations.
"""

import re

from keyrung_infra.errors import InfraError
from keyrung_infra.provider.model import Failure, Property, Values
from keyrung_infra.provider.values import UNKNOWN
from keyrung_provisioners.uri import KeyUri

SOURCE = Property(
    type="string",
    description="ARN of a KMS key that another resource makes, behind the alias `name` (behind `name`-g2 as generation"
    " 2, and so on); it is read back and never made, changed or deleted here.",
    optional=True,
)
# Of every partition; an alias has an ARN, too, but can be moved to another key.
_ARN = re.compile(r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")


def declared(inputs: Values) -> str | None:
    """Return the source that known inputs name."""
    source = inputs.get("source")
    return None if source is None else str(source)


def failures(uri: KeyUri | None, inputs: Values) -> list[Failure]:
    """Return what is wrong with the declared source; what is not known yet is not judged."""
    source = inputs.get("source")
    if source is None:
        return []
    found = [
        Failure(property=name, reason=f"a key that another resource makes has no {name} of ours; leave one of them out")
        for name in ("escrow", "copyTo")
        if inputs.get(name) is not None
    ]
    if uri is not None and uri.scheme != "awskms":
        found.append(Failure(property="source", reason=f"source names a KMS key, and {uri} is none"))
    if source is UNKNOWN:
        return found
    arn = _ARN.fullmatch(str(source))
    if arn is None:
        reason = f"source is {source!r}; give the ARN of the key itself, arn:aws:kms:REGION:ACCOUNT:key/ID"
        found.append(Failure(property="source", reason=reason))
    elif uri is not None and uri.scheme == "awskms" and arn["region"] != uri.vault:
        found.append(Failure(property="source", reason=f"{source} is not in the region of {uri}"))
    return found


def guard(state: Values, inputs: Values) -> None:
    """Refuse another key under the same generation, and the same key under another one, already in the preview."""
    old, new = state.get("source"), inputs.get("source")
    kept, rotates = new == old, inputs["generation"] != state["generation"]
    if inputs["generation"] is UNKNOWN or kept != rotates or old is new is None:
        return
    uri, following = str(state["uri"]), int(str(state["generation"])) + 1
    if kept:
        raise InfraError(
            f"generation {inputs['generation']} of {uri} would be the same key, {old}",
            fix="make another KMS key for it and give its ARN as source",
            uri=uri,
        )
    what = "a key that is not made yet" if new is UNKNOWN else new or "a key of our own"
    raise InfraError(
        f"{uri} (thumbprint {state['thumbprint']}) is {old or 'a key of our own'}, and {what} would take its place",
        fix=f"keep its key, or raise `generation` to {following} and give the other one as source",
        uri=uri,
    )
