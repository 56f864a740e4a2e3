"""`make capacity`: writes into the page beside this file which limit binds at which rate, and what moves it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.capacity.limits import function_seconds, limits, shards_needed
from benchmarks.capacity.shards import Contention
from benchmarks.capacity.work import Work, count_one_step_up

RATES = (10, 1_000, 100_000)
PAGE = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- made by `make capacity` -->\n", "<!-- end -->\n"


def main() -> None:
    """Write the tables."""
    with tempfile.TemporaryDirectory() as folder:
        work = count_one_step_up(Path(folder))
    staying = {rate: shards_needed(rate * work.commits, stays=True) for rate in RATES}
    shards, binding = _shard_lines(work, staying), _limit_lines(work, staying)
    tables = "\n".join(["", *work_lines(work), "", *shards, "", *binding, "", ""])
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{tables}{END}{rest.split(END)[1]}")


def work_lines(work: Work) -> list[str]:
    """Return the table of what one step-up costs."""
    return [
        "| one step-up with a one-time code | |",
        "| --- | --- |",
        f"| requests | {work.requests} |",
        f"| commits, each with its audit record | {work.commits} |",
        f"| DynamoDB write units, read units | {work.write_units}, {work.read_units} |",
        f"| KMS signatures, opened seeds | {work.signatures}, {work.opened_seeds} |",
        f"| time in the function, assumed | {function_seconds(work) * 1000:.0f} ms |",
    ]


def _shard_lines(work: Work, staying: Mapping[int, tuple[int, Contention]]) -> list[str]:
    lines = [
        "| step-ups a second | commits a second | shards if each commit picks one | shards if a writer stays | tries |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rate, (shards, met) in staying.items():
        commits = rate * work.commits
        picking, _ = shards_needed(commits, stays=False)
        lines.append(f"| {rate:,} | {commits:,} | {picking:,} | {shards:,} | {met.tries:.2f} |")
    return lines


def _limit_lines(work: Work, staying: Mapping[int, tuple[int, Contention]]) -> list[str]:
    lines = ["| step-ups a second | limit | of the default | moved by |", "| --- | --- | --- | --- |"]
    for rate, (shards, _) in staying.items():
        for limit in limits(work, step_ups_per_second=rate, shards=shards)[:5]:
            lines.append(f"| {rate:,} | {limit.name} | {limit.used:,.2f} | {limit.moved_by} |")
    return lines


if __name__ == "__main__":
    main()
