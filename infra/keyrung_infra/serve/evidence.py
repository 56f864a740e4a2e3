"""The audit key's signature under the evidence of every key, put there by whoever keeps the audit log.

The one who makes keys must not hold the audit key, and makes keys before there is one: so a statement waits in the
inventory until a process that has the audit key comes by.
"""

from dataclasses import dataclass, field

from keyrung_policies.canonical import canonical_bytes
from keyrung_policies.jws import FlattenedJws, encode_base64url, serialise_flattened
from keyrung_provisioners.evidence import TYPE
from keyrung_provisioners.inventory import Inventory
from keyrung_verifier.assertion import sign_checked
from keyrung_verifier.generations import SigningLine


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSigner:
    """Signs the statements that wait in ``inventory`` with the audit key."""

    inventory: Inventory
    signers: SigningLine = field(repr=False)

    def sign_waiting(self) -> int:
        """Sign each waiting statement, and return how many there were; raise `SigningFailedError` if the key fails."""
        waiting = self.inventory.unsigned_statements()
        for one in waiting:
            self.inventory.record_signature(one.position, self._signed(one.statement))
        return len(waiting)

    def _signed(self, statement: bytes) -> bytes:
        signer = self.signers.current()
        header = canonical_bytes({"alg": signer.algorithm, "kid": signer.key_id, "typ": TYPE})
        payload, protected = encode_base64url(statement), encode_base64url(header)
        unsigned = FlattenedJws(payload=payload, protected=protected, signature="")
        signature = encode_base64url(sign_checked(signer, unsigned.signing_input()))
        return serialise_flattened(FlattenedJws(payload=payload, protected=protected, signature=signature))
