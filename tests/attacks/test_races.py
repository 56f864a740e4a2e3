"""200 clients at one moment, in threads and in processes on one store: what may happen once happens once."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.dpop import DpopClient
from support.verifier import World, at_once, catalog_texts, respond_each, spend_many

TRIES = 200
PROCESSES = 4


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def world_with(folder: Path, uses: bytes) -> World:
    """Return a verifier whose assertions for a change of the profile pay as often as ``uses`` says."""
    once, often = b"max_age: 5m, bind: [method, uri, body]", b"max_age: 5m, bind: [], " + uses
    texts = {name: text.replace(once, often, 1) for name, text in catalog_texts().items()}
    return World(folder, texts=texts)


def in_processes(pool: Executor, folder: Path, assertion: str, **asked: Any) -> list[int]:
    tasks = [pool.submit(spend_many, folder, assertion, TRIES // PROCESSES, **asked) for _ in range(PROCESSES)]
    return [status for task in tasks for status in task.result()]


def test_one_code_tried_200_times_at_once_by_processes_succeeds_once(world: World, processes: Executor) -> None:
    totp = world.enrol_totp()
    challenges = [world.challenge_id(session=f"sid-{number}") for number in range(TRIES)]
    code = totp.code(world.clock.now())

    tasks = [
        processes.submit(respond_each, world.folder, challenges[number::PROCESSES], code) for number in range(PROCESSES)
    ]
    statuses = [status for task in tasks for status in task.result()]

    assert sorted(statuses) == [200] + [403] * (TRIES - 1)
    assert len(world.records("assertion.issued")) == 1
    assert len(world.records("challenge.answered")) == TRIES


def bound_assertion(world: World) -> tuple[str, dict[str, Any]]:
    """Return an assertion that nobody counts, and a use of it by the one proof that all clients bring."""
    client, totp = DpopClient(world), world.enrol_totp()
    challenge_id = world.challenge_id(session=client.session())
    answer = client.respond(challenge_id, totp.code(world.clock.now()), client.answer_proof(challenge_id))
    return str(answer.body["assertion"]), {"asked": {"session": client.session()}, "dpop": client.use()}


def assert_one_use(world: World, statuses: list[int]) -> None:
    assert sorted(statuses) == [200] + [403] * (TRIES - 1)
    assert len(world.records("assertion.spent")) == TRIES
    world.close()


def test_one_proof_brought_200_times_at_once_by_threads_pays_once(tmp_path: Path) -> None:
    world = world_with(tmp_path, b"single_use: false")
    assertion, use = bound_assertion(world)

    answers = at_once(TRIES, lambda _: world.spend(assertion, **use))

    assert_one_use(world, [answer.status for answer in answers])


def test_one_proof_brought_200_times_at_once_by_processes_pays_once(tmp_path: Path, processes: Executor) -> None:
    world = world_with(tmp_path, b"single_use: false")
    assertion, use = bound_assertion(world)

    assert_one_use(world, in_processes(processes, tmp_path, assertion, **use))


def test_a_batch_of_10_spent_200_times_at_once_by_processes_pays_10_times(tmp_path: Path, processes: Executor) -> None:
    world = world_with(tmp_path, b"batch: {count: 10, within: 60s}")
    assertion = world.step_up(world.enrol_totp())

    statuses = in_processes(processes, tmp_path, assertion)

    assert sorted(statuses) == [200] * 10 + [403] * (TRIES - 10)
    assert len(world.records("assertion.spent")) == TRIES
    world.close()
