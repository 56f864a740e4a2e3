"""Evidence of how a key was made: what its store answered just then, as a statement that can be signed.

The statement is canonical JSON (RFC 8785) and holds no secret: names, a public key, and attributes as the store
reports them. Whoever holds the audit key signs it later, as a JWS of the type `TYPE`.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from keyrung_provisioners.api import KeyDescription
from keyrung_provisioners.inventory import KeyRow

FORMAT = "key-evidence/v1"
TYPE = "key-evidence+jws"


def statement(row: KeyRow, found: KeyDescription, *, how: str, now: datetime) -> bytes:
    """Return the statement about the key of ``row``.

    Args:
        row: Its claim.
        found: What was read back.
        how: Why it was read back: generated, adopted (after an interrupted run), imported, escrowed or restored.
        now: When it was read back.
    """
    claim = row.claim
    return _canonical(
        {
            "keyrung": FORMAT,
            "how": how,
            "at": now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "owner": claim.owner,
            "claim_id": row.claim_id.hex(),
            "key": {
                "uri": str(claim.uri),
                "generation": claim.generation,
                "purpose": claim.purpose.value,
                "algorithm": found.algorithm,
                "fingerprint": found.fingerprint,
                "public_key_pem": found.public_key_pem,
            },
            "attributes": dict(found.attributes),
            "store": dict(found.store),
        }
    )


def _canonical(document: Mapping[str, object]) -> bytes:
    """Return RFC 8785 form; the names are ASCII and the numbers small integers, so that sorting them needs no more."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode("utf-8")
