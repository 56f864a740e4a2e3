"""The second place of the audit log: a file of signed statements about what the log ended in.

Each line is a compact JWS. The file lock keeps several processes from signing out of order.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keyrung_policies import jws
from keyrung_policies.canonical import canonical_bytes
from keyrung_verifier.assertion import sign_checked
from keyrung_verifier.errors import AuditTailError
from keyrung_verifier.protocols import Signer
from keyrung_verifier.store.protocol import Tail

TYPE = "audit-checkpoint+jws"
FORMAT_VERSION = 1
# Enough for the last line, which has about 400 bytes, and part of another.
TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a line states: record `seq` has the hash `head`; `key_id` names who signed it."""

    seq: int
    head: str
    key_id: str


def sign_checkpoint(signer: Signer, tail: Tail, *, time: str) -> bytes:
    """Return the signed statement of what a chain of the log ends in, a compact JWS.

    Args:
        signer: The audit key.
        tail: The end, compared with the line itself.
        time: In the log's spelling.

    Raises:
        SigningFailedError: The key gave no good signature.
    """
    header = canonical_bytes({"alg": signer.algorithm, "kid": signer.key_id, "typ": TYPE})
    statement = {"v": FORMAT_VERSION, "shard": tail.shard, "seq": tail.seq, "head": tail.hash, "time": time}
    signing_input = f"{jws.encode_base64url(header)}.{jws.encode_base64url(canonical_bytes(statement))}"
    signature = sign_checked(signer, signing_input.encode("ascii"))
    return f"{signing_input}.{jws.encode_base64url(signature)}".encode("ascii")


class CheckpointFile:
    """The file at `path`, made on first use and readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file against every other writer."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def last(self) -> Checkpoint | None:
        """Return what the last whole line states, or None for an empty file.

        Its signature is not checked here: a forged line can only make the writer stop, and the reader of the log,
        which has the keys of all generations, checks every signature.

        Raises:
            AuditTailError: The line is damaged.
        """
        try:
            lines = self._tail()[1].splitlines()
        except FileNotFoundError:
            return None
        if not lines:
            return None
        try:
            header, payload = (
                json.loads(jws.decode_base64url(part)) for part in lines[-1].decode("ascii").split(".")[:2]
            )
            return Checkpoint(seq=int(payload["seq"]), head=str(payload["head"]), key_id=str(header["kid"]))
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise AuditTailError("the last audit checkpoint is damaged; run `keyrung audit verify`") from error

    def append(self, signer: Signer, tail: Tail, *, time: str) -> None:
        """Sign a statement and add it, durably; a line that does not fit whole is taken back.

        Raises:
            SigningFailedError: The key gave no good signature.
            OSError: The file cannot be written.
        """
        self._append_line(sign_checkpoint(signer, tail, time=time) + b"\n")

    def _append_line(self, line: bytes) -> None:
        descriptor = self._open()
        try:
            # A crash may have left part of a line, which was never a statement.
            whole_bytes = self._tail()[0]
            os.ftruncate(descriptor, whole_bytes)
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(f"{self._path} is full; free some space")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, whole_bytes)
                raise
        finally:
            os.close(descriptor)

    def _tail(self) -> tuple[int, bytes]:
        """Return the size of the whole lines, and the end of them."""
        with self._path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
            file.seek(start)
            whole = file.read()
        whole = whole[: whole.rfind(b"\n") + 1]
        return start + len(whole), whole

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
