"""The model of a deployment's limits: its page says what the verifier does today, and it agrees with arithmetic."""

import math

import pytest
from benchmarks.capacity.__main__ import PAGE, work_lines
from benchmarks.capacity.limits import COMMIT_SECONDS, KMS_ECC_PER_SECOND, limits, shards_needed
from benchmarks.capacity.shards import simulate
from benchmarks.capacity.work import Work, count_one_step_up


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return count_one_step_up(tmp_path_factory.mktemp("work"))


def test_the_page_says_what_a_step_up_costs_today(work: Work) -> None:
    assert "\n".join(work_lines(work)) in PAGE.read_text(), "run `make capacity`"


def test_signatures_bind_at_the_quota_divided_by_the_signatures_of_a_step_up(work: Work) -> None:
    rate = KMS_ECC_PER_SECOND / work.signatures

    [signatures] = [
        limit for limit in limits(work, step_ups_per_second=rate, shards=1) if limit.name == "KMS, signatures"
    ]

    assert signatures.used == pytest.approx(1, rel=0.01)


def test_more_shards_leave_each_with_fewer_writes(work: Work) -> None:
    def used(shards: int) -> float:
        found = limits(work, step_ups_per_second=1_000, shards=shards)
        return next(limit.used for limit in found if limit.moved_by == "auditShards")

    assert used(10) == pytest.approx(used(1) / 10)


def test_a_lone_writer_is_never_in_anybodys_way() -> None:
    met = simulate(
        commits_per_second=0.01,
        shards=1,
        commit_seconds=0.01,
        read_seconds=0.001,
        max_tries=3,
        stays=True,
        commits=500,
    )

    assert (met.tries, met.refused) == (1, 0)


def test_commits_that_pick_a_shard_meet_as_often_as_arithmetic_says() -> None:
    rate, shards = 1_000.0, 100

    met = simulate(
        commits_per_second=rate,
        shards=shards,
        commit_seconds=COMMIT_SECONDS,
        read_seconds=0,
        max_tries=50,
        stays=False,
        commits=40_000,
    )

    # A try fails when one of the commits that succeed lands on its shard meanwhile (a Poisson process).
    assert met.tries == pytest.approx(math.exp(rate / shards * COMMIT_SECONDS), rel=0.03)


def test_who_stays_needs_fewer_shards() -> None:
    assert shards_needed(600, stays=True)[0] < shards_needed(600, stays=False)[0]


def test_too_few_shards_refuse_commits() -> None:
    met = simulate(
        commits_per_second=1_000,
        shards=1,
        commit_seconds=COMMIT_SECONDS,
        read_seconds=0.005,
        max_tries=3,
        stays=True,
        commits=2_000,
    )

    assert met.refused > 0.5
