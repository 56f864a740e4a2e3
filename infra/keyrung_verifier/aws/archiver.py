"""The archiver: writes new lines of the audit log to the bucket that is its second place, and signs what they end in.

It is a role of its own, which alone may sign with the audit key, and which can neither read the store nor change what
it wrote. A line that it could not archive is told to the platform, which hands it over again; whatever then comes twice
has the same name and stays as it is. Lines that are not linked stay so however often they come: they are kept and told.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from keyrung_verifier.audit_archive import Run, read_batch
from keyrung_verifier.audit_end import utc_text
from keyrung_verifier.aws.clients import AwsClients
from keyrung_verifier.aws.deployed import DeploymentDocument, signing_line
from keyrung_verifier.aws.errors import AwsError
from keyrung_verifier.aws.s3 import Bucket
from keyrung_verifier.checkpoints import sign_checkpoint
from keyrung_verifier.errors import SigningFailedError
from keyrung_verifier.generations import SigningLine
from keyrung_verifier.metrics import Teller
from keyrung_verifier.protocols import Clock
from keyrung_verifier.store.dynamodb_table import PARTITION_KEY, SORT_KEY, audit_key

_LOG = logging.getLogger(__name__)


class Archiver:
    """Archives batches of the table's stream.

    Args:
        document: Names the bucket and the audit keys.
        clients: Reach S3 and KMS.
        clock: Dates checkpoints.
        teller: Counts what was done.
    """

    def __init__(self, document: DeploymentDocument, clients: AwsClients, *, clock: Clock, teller: Teller) -> None:
        self._document, self._clients, self._clock, self._teller = document, clients, clock, teller

    def archive(self, event: Mapping[str, Any]) -> dict[str, object]:
        """Archive what a batch holds; return from where on the platform is to hand it over again.

        Raises:
            UnavailableError: There is no deployment.
        """
        records: Sequence[Mapping[str, Any]] = event["Records"]
        batch = read_batch(records)
        deployment = self._document.current()
        bucket = Bucket(self._clients.client("s3", self._document.region), deployment.audit.archive)
        signers = signing_line(deployment.audit_keys, self._clients, clock=self._clock)
        for line in batch.altered:
            _LOG.error("line %s of the audit log was changed or removed in the table; see the archive", line)
        for run in batch.unlinked:
            _LOG.error("lines of the audit log are not linked to it; they are kept as %s", run.unlinked_name)
        failed = [run for run in batch.runs if not self._archived(run, bucket, signers)]
        failed += [run for run in batch.unlinked if not self._kept(run.unlinked_name, run, bucket)]
        self._teller.tell(
            "archive",
            ArchivedLines=sum(len(run.lines) for run in batch.runs if run not in failed),
            AlteredLines=len(batch.altered) + sum(len(run.lines) for run in batch.unlinked),
            FailedRuns=len(failed),
        )
        return {"batchItemFailures": _first_of(failed, records)}

    def _archived(self, run: Run, bucket: Bucket, signers: SigningLine) -> bool:
        if not self._kept(run.lines_name, run, bucket):
            return False  # a checkpoint whose lines got lost would accuse the store
        try:
            checkpoint = sign_checkpoint(signers.current(), run.tail, time=utc_text(self._clock.now()))
            bucket.put_once(run.checkpoint_name, checkpoint + b"\n")
        except (AwsError, SigningFailedError) as error:
            _LOG.error("lines of shard %s are not signed for yet: %s", run.shard, error)
            return False
        return True

    def _kept(self, name: str, run: Run, bucket: Bucket) -> bool:
        try:
            bucket.put_once(name, run.body)
        except AwsError as error:
            _LOG.error("lines of shard %s are not archived yet: %s", run.shard, error)
            return False
        return True


def _first_of(runs: Sequence[Run], records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the first record of any of the runs: of a stream, everything after it is handed over again as well."""
    firsts = {audit_key(run.shard, run.first_seq + place) for run in runs for place in range(len(run.lines))}
    for record in records:
        item = record["dynamodb"]
        if (item["Keys"][PARTITION_KEY]["S"], item["Keys"][SORT_KEY]["S"]) in firsts:
            return [{"itemIdentifier": item["SequenceNumber"]}]
    return []
