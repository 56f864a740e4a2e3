"""An independent reader of the audit log: shares no code with its writer."""

from keyrung_audit.errors import AuditError, PublicKeyError, SourceError
from keyrung_audit.evidence import Evidence, EvidenceError, open_evidence
from keyrung_audit.keys import PublicKey, load_public_key, public_key_from_jwk
from keyrung_audit.reader import read_checkpoints, read_lines, read_log
from keyrung_audit.record import Record, parse_record
from keyrung_audit.report import ChainEnd, Finding, Report
from keyrung_audit.verify import verify

__all__ = [
    "AuditError",
    "ChainEnd",
    "Evidence",
    "EvidenceError",
    "Finding",
    "PublicKey",
    "PublicKeyError",
    "Record",
    "Report",
    "SourceError",
    "load_public_key",
    "open_evidence",
    "parse_record",
    "public_key_from_jwk",
    "read_checkpoints",
    "read_lines",
    "read_log",
    "verify",
]
