"""How many audit shards a rate of commits needs: a simulation of writers that meet at the heads of the chains.

A commit names the head that it continues, and fails when another one moved it in the meantime. A writer that stays on
its shard knows the head from its own last commit; one that lost moves to another shard, reads that head, and tries
again. For each commit the idle writer that was used last is picked, so that at a steady rate the others stay idle.
"""

import heapq
import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Contention:
    """What became of the commits; `tries` is the mean number of tries of a commit."""

    tries: float
    slow_seconds: float
    refused: float


@dataclass(slots=True)
class _Writer:
    shard: int
    known_version: int


def simulate(
    *,
    commits_per_second: float,
    shards: int,
    commit_seconds: float,
    read_seconds: float,
    max_tries: int,
    stays: bool,
    commits: int,
    seed: int = 1,
) -> Contention:
    """Return what happens to that many commits that arrive at random with the given rate.

    Args:
        commits_per_second: The rate of arrival (Poisson).
        shards: How many chains there are.
        commit_seconds: From sending a transaction to its answer; what another one commits meanwhile makes it fail.
        read_seconds: From asking for a head to knowing it.
        max_tries: After so many lost tries a commit is refused.
        stays: Whether a writer stays on its shard, or picks one at random, and reads its head, for each commit.
        commits: How many commits to follow.
        seed: Of the random numbers.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    versions = [0] * shards
    idle: list[_Writer] = []
    latencies: list[float] = []
    refused = tries = arrived = 0
    # (moment, number, kind, writer, tries so far, moment of arrival)
    events: list[tuple[float, int, str, _Writer | None, int, float]] = [(0.0, 0, "arrives", None, 0, 0.0)]
    number = 0

    def push(moment: float, kind: str, writer: _Writer | None, tried: int, since: float) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (moment, number, kind, writer, tried, since))

    def move(moment: float, writer: _Writer, tried: int, since: float) -> None:
        writer.shard = rng.randrange(shards)
        push(moment + read_seconds, "read", writer, tried, since)

    while events:
        moment, _, kind, writer, tried, since = heapq.heappop(events)
        if writer is None:
            arrived += 1
            if arrived < commits:
                push(moment + rng.expovariate(commits_per_second), "arrives", None, 0, 0.0)
            if idle and stays:
                push(moment + commit_seconds, "commits", idle.pop(), 0, moment)
            else:
                move(moment, idle.pop() if idle else _Writer(0, 0), 0, moment)
        elif kind == "read":
            writer.known_version = versions[writer.shard]
            push(moment + commit_seconds, "commits", writer, tried, since)
        elif versions[writer.shard] == writer.known_version:
            versions[writer.shard] += 1
            writer.known_version += 1
            tries += tried + 1
            latencies.append(moment - since)
            idle.append(writer)
        elif tried + 1 == max_tries:
            refused += 1
            tries += max_tries
            idle.append(writer)
        else:
            move(moment, writer, tried + 1, since)
    latencies.sort()
    return Contention(
        tries=tries / commits,
        slow_seconds=latencies[int(len(latencies) * 0.99)] if latencies else float("inf"),
        refused=refused / commits,
    )
