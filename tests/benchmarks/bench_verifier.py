"""`make bench`: the verifier under load beside its floor. Prints ratios with their spread; asserts nothing.

The floor of one step-up (evaluate, challenge, response) is what nothing can do without: three requests that do nothing,
three durable writes, one signature by the provisioned PKCS#11 key and one verification, each measured bare in the same
round. That of an evaluation is one request that does nothing and one durable write. The clients are processes of their
own (`support.load`) and share the two cores with the server, as the requests that do nothing do as well.
"""

import os
import secrets
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from support.deployment import deploy_template, running_deployment
from support.disk_sync import skipped_sync
from support.load import Kind
from support.loading import PEOPLE, LoadedVerifier, Measured, resident_mib
from support.project import Project
from support.stores import SigningManager

from keyrung_infra.tools import Tools
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

_ROUNDS = 15
_ROUND_SECONDS = 0.6
_BARE_REPEATS = 40
_WARM_UP_WRITES = 2000
_FLAT_STEP_UPS = 20_000


@pytest.fixture(scope="module")
def bench(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedVerifier]:
    folder = tmp_path_factory.mktemp("bench")
    with (
        running_deployment(deploy_template(folder / "template", tools), folder / "project", tools) as project,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SOFTHSM2_CONF", str(project.stack.layout.softhsm.config))
        yield LoadedVerifier(project)


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Median seconds of what a step-up cannot do without, beside its requests."""

    write: float
    sign: float
    verify: float


class Bare:
    """Measures the parts of the floor, on the disk and the token of the project."""

    def __init__(self, project: Project, store: sqlite3.Connection) -> None:
        softhsm = project.stack.layout.softhsm
        settings = {"pkcs11Module": f"file:{softhsm.module}", "pkcs11Pin": f"file:{softhsm.pin}"}
        self._manager: SigningManager = open_manager("pkcs11", settings, root=project.root)  # type: ignore[assignment]
        self._uri = KeyUri("pkcs11", "keyrung", "assertion-signing-local")
        self._store = store
        # As the verifier's: a log whose file is there already, so that a sync need not tell of a longer one.
        store.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE t (x BLOB)")
        for _ in range(_WARM_UP_WRITES):
            self._write()
        store.execute("PRAGMA synchronous = FULL")
        self._checker = ec.generate_private_key(ec.SECP256R1())
        self._signature = self._checker.sign(b"data", ec.ECDSA(hashes.SHA256()))

    def _write(self) -> None:
        self._store.execute("INSERT INTO t VALUES (?)", (secrets.token_bytes(512),))

    def measure(self) -> Floor:
        public = self._checker.public_key()
        return Floor(
            write=_median(self._write),
            sign=_median(lambda: self._manager.sign(self._uri, b"data")),
            verify=_median(lambda: public.verify(self._signature, b"data", ec.ECDSA(hashes.SHA256()))),
        )


def _median(action: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_BARE_REPEATS):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _line(what: str, values: Sequence[float], *, unit: str = "") -> None:
    ordered = sorted(values)
    tenth = len(ordered) // 10
    spread = f"{ordered[tenth]:.2f} to {ordered[-1 - tenth]:.2f}"
    print(f"  {what:<70} {statistics.median(values):8.2f}{unit} ({spread})")


_KINDS: tuple[Kind, ...] = ("empty", "evaluate", "step_up")


def _beside_the_floor(bench: LoadedVerifier, count: int) -> tuple[list[Floor], list[list[Measured]]]:
    """Return of each round the floor, and what so many clients of each kind measured."""
    floors, rounds = [], []
    with (
        bench.serving() as pid,
        closing(sqlite3.connect(bench.project.root / f"floor-{count}.db", isolation_level=None)) as store,
        ExitStack() as stack,
    ):
        bare = Bare(bench.project, store)
        clients = [stack.enter_context(bench.clients(pid, kind, count)) for kind in _KINDS]
        for _ in range(_ROUNDS):
            floors.append(bare.measure())
            rounds.append([measure(_ROUND_SECONDS) for measure in clients])
    return floors, rounds


def test_one_client_beside_the_floor(bench: LoadedVerifier) -> None:
    floors, rounds = _beside_the_floor(bench, 1)
    print(f"\none client; load of the machine {os.getloadavg()[0]:.1f}, {_ROUNDS} rounds")
    _line("bare durable write", [1000 * floor.write for floor in floors], unit=" ms")
    _line("bare signature by the token, and verification", [1000 * (f.sign + f.verify) for f in floors], unit=" ms")
    _line("an empty request", [1000 * empty.median for empty, _, _ in rounds], unit=" ms")
    _line("an evaluation", [1000 * evaluation.median for _, evaluation, _ in rounds], unit=" ms")
    least = [empty.median + floor.write for (empty, _, _), floor in zip(rounds, floors, strict=True)]
    _line("  beside its floor", [each.median / least for (_, each, _), least in zip(rounds, least, strict=True)])
    _line("a step-up", [1000 * step_up.median for _, _, step_up in rounds], unit=" ms")
    least = [3 * each + floor.sign + floor.verify for each, floor in zip(least, floors, strict=True)]
    _line("  beside its floor", [each.median / least for (_, _, each), least in zip(rounds, least, strict=True)])


def test_64_clients_beside_the_floor(bench: LoadedVerifier) -> None:
    floors, rounds = _beside_the_floor(bench, PEOPLE)
    print(f"\n64 clients; load of the machine {os.getloadavg()[0]:.1f}, {_ROUNDS} rounds")
    _line("empty requests", [empty.per_second for empty, _, _ in rounds], unit="/s")
    _line("  server CPU of three", [3000 * empty.cpu_seconds for empty, _, _ in rounds], unit=" ms")
    _line("evaluations", [evaluation.per_second for _, evaluation, _ in rounds], unit="/s")
    _line("  beside empty requests", [each.per_second / empty.per_second for empty, each, _ in rounds])
    _line("  server CPU of one", [1000 * evaluation.cpu_seconds for _, evaluation, _ in rounds], unit=" ms")
    _line("step-ups", [step_up.per_second for _, _, step_up in rounds], unit="/s")
    least = [
        3 / empty.per_second + 3 * floor.write + floor.sign + floor.verify
        for (empty, _, _), floor in zip(rounds, floors, strict=True)
    ]
    _line("  beside the floor's throughput", [s.per_second * f for (_, _, s), f in zip(rounds, least, strict=True)])
    _line("  p99 beside the median", [step_up.p99 / step_up.median for _, _, step_up in rounds])
    _line("  server CPU of one", [1000 * step_up.cpu_seconds for _, _, step_up in rounds], unit=" ms")


def test_evaluations_without_the_sync(bench: LoadedVerifier, tmp_path: Path) -> None:
    with (
        bench.serving(**skipped_sync(tmp_path)) as pid,
        bench.clients(pid, "empty", PEOPLE) as empty,
        bench.clients(pid, "evaluate", PEOPLE) as evaluate,
    ):
        rounds = [(empty(_ROUND_SECONDS), evaluate(_ROUND_SECONDS)) for _ in range(_ROUNDS)]
    print("\n64 clients, nothing synced")
    _line("evaluations", [each.per_second for _, each in rounds], unit="/s")
    _line("  beside empty requests", [each.per_second / empty.per_second for empty, each in rounds])


def test_good_requests_while_a_stranger_floods(bench: LoadedVerifier) -> None:
    """The stranger sends as fast as one connection takes it; what is left of the processor is the client's."""
    alone, flooded, sent = [], [], []
    with (
        bench.serving() as pid,
        bench.clients(pid, "evaluate", 1) as evaluate,
        bench.clients(pid, "refused", 1) as refused,
        ThreadPoolExecutor() as threads,
    ):
        for _ in range(_ROUNDS):
            alone.append(evaluate(_ROUND_SECONDS))
            flood = threads.submit(refused, _ROUND_SECONDS)
            flooded.append(evaluate(_ROUND_SECONDS))
            sent.append(flood.result().per_second)
    print("\na stranger's refusals beside one client's evaluations")
    _line("refusals", sent, unit="/s")
    _line(
        "an evaluation's median beside that alone", [f.median / a.median for a, f in zip(alone, flooded, strict=True)]
    )
    _line("  its p99 beside that alone", [f.p99 / a.p99 for a, f in zip(alone, flooded, strict=True)])


def test_memory_over_many_step_ups(bench: LoadedVerifier) -> None:
    print()
    with bench.serving() as pid, bench.clients(pid, "step_up", PEOPLE) as step_up:
        done = 0
        while done < _FLAT_STEP_UPS:
            done += len(step_up(10).latencies)
            print(f"  after {done:6} step-ups {resident_mib(pid):6.1f} MiB")
