"""One key against its declaration and its signed evidence: every attribute that differs, with what was expected."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keyrung_audit import EvidenceError, PublicKey, open_evidence
from keyrung_provisioners.api import AttributeValue, Custody, KeyDescription, KeyManager, KeySpec, Purpose
from keyrung_provisioners.errors import (
    KeyAlteredError,
    KeyConflictError,
    KeyMissingError,
    KeyRefusedError,
)
from keyrung_provisioners.inventory import KeyRow, Statement
from keyrung_provisioners.uri import KeyUri

Value = AttributeValue | None
# What changes with an upgrade of the store, and says nothing about which store it is.
_NOT_IDENTITY = frozenset({"version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One attribute that was compared; `against` is what it was compared with: declaration, evidence or inventory."""

    attribute: str
    expected: Value
    found: Value
    against: str

    @property
    def ok(self) -> bool:
        """Whether it is as expected; True and 1 are not the same."""
        return self.expected == self.found and type(self.expected) is type(self.found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Every check of one key, and in words whether its evidence is signed."""

    uri: KeyUri
    checks: Sequence[Check]
    evidence: str

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return all(check.ok for check in self.checks)


def verify_key(
    uri: KeyUri,
    manager: KeyManager,
    *,
    row: KeyRow | None,
    statements: Sequence[Statement],
    algorithm: str | None,
    purpose: Purpose | None,
    hardware: bool,
    audit_keys: Sequence[PublicKey],
) -> Verdict:
    """Return the verdict on the key of ``uri``.

    Args:
        uri: The key.
        manager: The back end of its store.
        row: What the inventory has of it; without it, ``algorithm`` and ``purpose`` must be given.
        statements: Its evidence, oldest first.
        algorithm: What it is expected to be; by default what the inventory says.
        purpose: The same.
        hardware: Whether hardware is expected to hold it.
        audit_keys: Public keys whose signature under the evidence counts.
    """
    claim = None if row is None else row.claim
    spec = KeySpec(
        uri=uri,
        algorithm=algorithm or (claim.algorithm if claim else ""),
        purpose=purpose or (claim.purpose if claim else Purpose.ASSERTION_SIGNING),
        claim_id=b"" if row is None else row.claim_id,
        custody=Custody.SOLE if row is None else row.custody,
    )
    checks = []
    if claim is not None:
        checks.append(
            Check(attribute="purpose", expected=spec.purpose.value, found=claim.purpose.value, against="inventory")
        )
    statement, evidence, refused = _newest(statements, audit_keys, recorded=row is not None)
    checks += refused
    found = read_back(spec, manager)
    if isinstance(found, Check):
        return Verdict(uri=uri, checks=[*checks, found], evidence=evidence)
    checks += against_declaration(spec, found, manager, hardware=hardware)
    if row is not None:
        checks += against_record(row.fingerprint, row.claim_id, found)
    if statement is not None:
        checks += against_evidence(statement, found, manager.describe_vault(uri.vault_uri).attributes)
    return Verdict(uri=uri, checks=checks, evidence=evidence)


def _newest(
    statements: Sequence[Statement], audit_keys: Sequence[PublicKey], *, recorded: bool
) -> tuple[Mapping[str, Any] | None, str, list[Check]]:
    """Return the newest statement, what is to be said of its signature, and a failed check if that is wrong."""
    if not statements:
        return None, "none is recorded" if recorded else "none, as no inventory has the key", []
    newest = statements[-1]
    unsigned: Mapping[str, Any] = json.loads(newest.statement)
    if newest.signed is None:
        return unsigned, "not signed yet: a verifier that starts signs it", []
    if not audit_keys:
        return unsigned, "signed; give --audit-key to check the signature", []
    try:
        opened = open_evidence(newest.signed, audit_keys)
    except EvidenceError as error:
        failed = Check(attribute="signature", expected="good", found=str(error), against="evidence")
        return unsigned, "its signature does not count", [failed]
    return (
        opened.statement,
        f"signed by audit key {opened.signer}, {opened.statement['how']} {opened.statement['at']}",
        [],
    )


def read_back(spec: KeySpec, manager: KeyManager) -> KeyDescription | Check:
    """Return the key as its store has it, or the one check that failed because it cannot be read back.

    Raises:
        BackendUnavailableError: The store cannot be asked; nothing is known about the key then.
    """
    try:
        return manager.describe(spec.uri)
    except KeyMissingError:
        return Check(attribute="key", expected="present", found="missing", against="declaration")
    except KeyConflictError as error:
        return Check(attribute="algorithm", expected=spec.algorithm, found=error.message, against="declaration")
    except KeyAlteredError as error:
        return Check(attribute="key", expected="whole", found=error.message, against="declaration")
    except KeyRefusedError as error:
        return Check(attribute="key", expected="usable", found=error.message, against="declaration")


def against_declaration(
    spec: KeySpec, found: KeyDescription, manager: KeyManager, *, hardware: bool = False
) -> list[Check]:
    """Return a check of each attribute that a key of ``spec`` must report; ``hardware`` asks for that, too."""
    required: dict[str, AttributeValue] = dict(manager.required(spec))
    if hardware:
        required["hardware"] = True
    reported = found.attributes
    checks = [Check(attribute="algorithm", expected=spec.algorithm, found=found.algorithm, against="declaration")]
    checks += [
        Check(attribute=name, expected=value, found=reported.get(name), against="declaration")
        for name, value in sorted(required.items())
    ]
    known = {check.attribute for check in checks if not check.ok}
    # Whatever else the back end objects to counts, too: it has the last word.
    others = [
        name for name in manager.deviations(spec, found) if name not in known and found.algorithm == spec.algorithm
    ]
    return checks + [
        Check(attribute=name, expected="as declared", found=reported.get(name), against="declaration")
        for name in others
    ]


def against_record(fingerprint: str | None, claim_id: bytes, found: KeyDescription) -> list[Check]:
    """Return checks of the key's identity against the inventory's row."""
    checks = [Check(attribute="thumbprint", expected=fingerprint, found=found.fingerprint, against="inventory")]
    if found.claim_id is not None:
        checks.append(
            Check(attribute="claim", expected=claim_id.hex(), found=found.claim_id.hex(), against="inventory")
        )
    return checks


def against_evidence(
    statement: Mapping[str, Any], found: KeyDescription, store: Mapping[str, AttributeValue]
) -> list[Check]:
    """Return checks of the key, its attributes and its store against what ``statement`` says of them."""
    stated = statement["key"]
    checks = [
        Check(attribute="uri", expected=stated["uri"], found=str(found.uri), against="evidence"),
        Check(attribute="thumbprint", expected=stated["fingerprint"], found=found.fingerprint, against="evidence"),
    ]
    # What the evidence has beside what the store reports (`escrowed`, for one) is ours, not the store's.
    checks += [
        Check(attribute=name, expected=value, found=found.attributes[name], against="evidence")
        for name, value in statement["attributes"].items()
        if name in found.attributes
    ]
    return checks + [
        Check(attribute=f"store {name}", expected=value, found=store.get(name), against="evidence")
        for name, value in statement["store"].items()
        if name not in _NOT_IDENTITY
    ]
