"""The limits of a deployment in one account and Region, and how far a rate of step-ups is from each.

Limits are the defaults of AWS's quota pages (KMS "Request quotas", DynamoDB "Quotas" and "Best practices for designing
and using partition keys", Lambda "Quotas" and "Scaling behavior", API Gateway "Quotas"); most can be raised, and the
console of Service Quotas says what an account has. Durations are assumptions: no real account was at hand.
"""

import math
from dataclasses import dataclass

from benchmarks.capacity.shards import Contention, simulate
from benchmarks.capacity.work import Work

from keyrung_verifier.limits import CHECKPOINT_SECONDS
from keyrung_verifier.store.dynamodb import MAX_COMMIT_TRIES

# Assumed durations inside one Region.
OWN_SECONDS = 0.003  # our own code for a request, on the smallest function that has a whole processor
COMMIT_SECONDS = 0.015
READ_SECONDS = 0.005
SIGN_SECONDS = 0.012
OPEN_SECONDS = 0.008

KMS_ECC_PER_SECOND = 1_000
KMS_SYMMETRIC_PER_SECOND = 10_000
TABLE_WRITE_UNITS_PER_SECOND = 40_000
TABLE_READ_UNITS_PER_SECOND = 40_000
PARTITION_WRITE_UNITS_PER_SECOND = 1_000
LAMBDA_CONCURRENCY = 1_000
LAMBDA_REQUESTS_PER_CONCURRENCY = 10
GATEWAY_REQUESTS_PER_SECOND = 10_000

# A shard is good when one commit in twenty or fewer has to be tried again.
GOOD_TRIES = 1.05
_FEWEST_SIMULATED, _SIMULATED_PER_WRITER = 20_000, 10


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit: `used` of it is 1.0 where it binds."""

    name: str
    demand: float
    limit: float
    moved_by: str

    @property
    def used(self) -> float:
        """Return the demand as a part of the limit."""
        return self.demand / self.limit


def function_seconds(work: Work) -> float:
    """Return for how long the function runs for one step-up, all its requests together."""
    return (
        work.requests * OWN_SECONDS
        + work.commits * COMMIT_SECONDS
        + work.read_units * READ_SECONDS
        + work.signatures * SIGN_SECONDS
        + work.opened_seeds * OPEN_SECONDS
    )


def limits(work: Work, *, step_ups_per_second: float, shards: int) -> list[Limit]:
    """Return every limit, the one that binds first."""
    rate = step_ups_per_second
    found = [
        Limit(
            name="KMS, signatures",
            demand=rate * work.signatures + shards / CHECKPOINT_SECONDS,
            limit=KMS_ECC_PER_SECOND,
            moved_by="quota of the account; more keys in one Region share it, keys in more Regions don't",
        ),
        Limit(
            name="KMS, opened seeds",
            demand=rate * work.opened_seeds,
            limit=KMS_SYMMETRIC_PER_SECOND,
            moved_by="quota of the account; a factor without seeds (token signature)",
        ),
        Limit(
            name="DynamoDB, writes to the table",
            demand=rate * work.write_units,
            limit=TABLE_WRITE_UNITS_PER_SECOND,
            moved_by="quota of the table",
        ),
        Limit(
            name="DynamoDB, reads from the table",
            demand=rate * work.read_units,
            limit=TABLE_READ_UNITS_PER_SECOND,
            moved_by="quota of the table",
        ),
        Limit(
            name="DynamoDB, writes to one audit shard",
            demand=rate * work.commits * work.largest_commit_shard_units / shards,
            limit=PARTITION_WRITE_UNITS_PER_SECOND,
            moved_by="auditShards",
        ),
        Limit(
            name="Lambda, concurrency",
            demand=rate * function_seconds(work),
            limit=LAMBDA_CONCURRENCY,
            moved_by="quota of the account and reservedConcurrency",
        ),
        Limit(
            name="Lambda, requests",
            demand=rate * work.requests,
            limit=LAMBDA_CONCURRENCY * LAMBDA_REQUESTS_PER_CONCURRENCY,
            moved_by="quota of the account and reservedConcurrency",
        ),
        Limit(
            name="API Gateway, requests",
            demand=rate * work.requests,
            limit=GATEWAY_REQUESTS_PER_SECOND,
            moved_by="quota of the account",
        ),
    ]
    return sorted(found, key=lambda limit: -limit.used)


def _contention(commits_per_second: float, shards: int, *, stays: bool) -> Contention:
    """Return what commits of that rate meet with that many shards."""
    writers = commits_per_second * COMMIT_SECONDS
    return simulate(
        commits_per_second=commits_per_second,
        shards=shards,
        commit_seconds=COMMIT_SECONDS,
        read_seconds=READ_SECONDS,
        max_tries=MAX_COMMIT_TRIES,
        stays=stays,
        commits=max(_FEWEST_SIMULATED, math.ceil(writers * _SIMULATED_PER_WRITER)),
    )


def shards_needed(commits_per_second: float, *, stays: bool) -> tuple[int, Contention]:
    """Return the smallest power of two of shards with which commits seldom meet, and how they meet then."""
    # With fewer shards than commits under way at once, some must meet.
    shards: int = 1 << math.floor(math.log2(max(1.0, commits_per_second * COMMIT_SECONDS)))
    while True:
        met = _contention(commits_per_second, shards, stays=stays)
        if met.tries <= GOOD_TRIES and met.refused == 0:
            return shards, met
        shards *= 2
