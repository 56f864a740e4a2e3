"""`make bench`: the verifier under load beside its floor. Prints ratios with their spread; asserts nothing.

The floor of one step-up (evaluate, challenge, response) is what nothing can do without: three requests that do nothing,
three durable writes, one signature by the provisioned PKCS#11 key and one verification, each measured bare in the same
round. That of an evaluation is one request that does nothing and one durable write. The clients are processes of their
own (`support.load`) and share the two cores with the server, as the requests that do nothing do as well.
"""

import base64
import hashlib
import json
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from support.deployment import deploy_template, running_deployment
from support.disk_sync import skipped_sync
from support.load import REQUEST, Kind, Load, Person, question
from support.project import Project
from support.serving import application, serving, url_of
from support.stores import SigningManager
from support.verifier import TESTS, UnsafeTestKey, b64

from keyrung_infra.serve.build import build_records
from keyrung_infra.serve.settings import DEFAULT_CONFIG, read_settings
from keyrung_infra.tools import Tools
from keyrung_provisioners.registry import open_manager
from keyrung_provisioners.uri import KeyUri

_MANY = 64
_ROUNDS = 9
_ROUND_SECONDS = 1.5
_BARE_REPEATS = 60
_WARM_UP_WRITES = 2000
_FLAT_STEP_UPS = 20_000
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a load measured; times in seconds."""

    latencies: Sequence[float]
    per_second: float
    cpu_seconds: float

    @property
    def median(self) -> float:
        return statistics.median(self.latencies)

    @property
    def p99(self) -> float:
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]


class Bench:
    """A deployed project with people who can step up."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._people = _enrol(project)
        self._load: dict[str, Any] = {}

    @contextmanager
    def serving(self, **environment: str) -> Iterator[int]:
        """Run the verifier; yield its process id."""
        with serving(self.project, environment=environment) as process:
            with application(self.project) as http:
                asked = question(self._people[0].subject)
                policy_digest = http.post("/access/v1/evaluation", json=asked).json()["context"]["policy_digest"]
                made = http.post("/stepup/v1/challenges", json={**asked, "request": REQUEST}).json()
                display = http.get(made["stepup_uri"]).json()["display"]
            secret = self.project.stack.layout.sample_client_secret.read_text().strip()
            self._load = {
                "port": int(url_of(self.project).rpartition(":")[2]),
                "ca_file": str(self.project.stack.layout.openbao.ca),
                "authorization": "Basic " + base64.b64encode(f"sample-api:{secret}".encode()).decode(),
                "policy_digest": policy_digest,
                "display_digest": b64(hashlib.sha256(display.encode()).digest()),
            }
            yield process.pid

    def measure(self, pid: int, kind: Kind, clients: int, seconds: float = _ROUND_SECONDS) -> Measured:
        """Load the verifier from one process, or from two that begin together."""
        processes = min(2, clients)
        with ExitStack() as stack:
            running = []
            for number in range(processes):
                people = self._people[:clients][number::processes]
                load = Load(kind=kind, people=people, seconds=seconds, **self._load)
                running.append(stack.enter_context(_client(load)))
            before = _cpu_seconds(pid)
            for client in running:
                _tell(client, "begin")
            done = [json.loads(_heard(client)) for client in running]
            cpu_seconds = _cpu_seconds(pid) - before
        latencies = [each for one in done for each in one["latencies"]]
        elapsed = max(one["elapsed_seconds"] for one in done)
        return Measured(
            latencies=latencies, per_second=len(latencies) / elapsed, cpu_seconds=cpu_seconds / len(latencies)
        )


def _enrol(project: Project) -> list[Person]:
    records = build_records(read_settings(project.root / DEFAULT_CONFIG), project.root)
    records.audit.open()
    people = []
    for number in range(_MANY):
        key = UnsafeTestKey(f"token of person {number}")
        added = records.credentials.add_token(
            f"person-{number}", public_jwk=key.public_jwk, evidence={"hardware": False}, prove=key.sign
        )
        secret = key.private.private_numbers().private_value
        people.append(Person(subject=f"person-{number}", credential_id=added.credential_id, token_secret=secret))
    records.store.close()
    return people


@contextmanager
def _client(load: Load) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "support.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    ) as process:
        _tell(process, json.dumps(asdict(load)))
        assert _heard(process) == "connected\n"
        yield process


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture(scope="module")
def bench(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    with (
        running_deployment(deploy_template(folder / "template", tools), folder / "project", tools) as project,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SOFTHSM2_CONF", str(project.stack.layout.softhsm.config))
        yield Bench(project)


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


def test_step_ups_and_evaluations_beside_their_floor(bench: Bench) -> None:
    with bench.serving() as pid, closing(sqlite3.connect(bench.project.root / "floor.db", isolation_level=None)) as db:
        bare = Bare(bench.project, db)
        bench.measure(pid, "step_up", _MANY)
        one, many, floors = [], [], []
        for _ in range(_ROUNDS):
            floors.append(bare.measure())
            one.append([bench.measure(pid, kind, 1) for kind in ("empty", "evaluate", "step_up")])
            many.append([bench.measure(pid, kind, _MANY) for kind in ("empty", "evaluate", "step_up")])
    least = [3 * empty.median + 3 * f.write + f.sign + f.verify for (empty, _, _), f in zip(one, floors, strict=True)]
    least_many = [
        3 / empty.per_second + 3 * f.write + f.sign + f.verify for (empty, _, _), f in zip(many, floors, strict=True)
    ]
    print(f"\nload of the machine {os.getloadavg()[0]:.1f}, {_ROUNDS} rounds")
    _line("bare durable write", [1000 * f.write for f in floors], unit=" ms")
    _line("bare signature by the token, and verification", [1000 * (f.sign + f.verify) for f in floors], unit=" ms")
    _line("an empty request, one client", [1000 * e.median for e, _, _ in one], unit=" ms")
    _line("empty requests, 64 clients", [e.per_second for e, _, _ in many], unit="/s")
    _line("a step-up, one client", [1000 * s.median for _, _, s in one], unit=" ms")
    _line("  beside its floor", [s.median / f for (_, _, s), f in zip(one, least, strict=True)])
    _line("step-ups, 64 clients", [s.per_second for _, _, s in many], unit="/s")
    _line("  beside the floor's throughput", [s.per_second * f for (_, _, s), f in zip(many, least_many, strict=True)])
    _line("  p99 beside the median", [s.p99 / s.median for _, _, s in many])
    _line("  server CPU of one", [1000 * s.cpu_seconds for _, _, s in many], unit=" ms")
    _line("  server CPU of three empty requests", [3000 * e.cpu_seconds for e, _, _ in many], unit=" ms")
    _line("an evaluation, one client", [1000 * v.median for _, v, _ in one], unit=" ms")
    evaluations = zip(one, floors, strict=True)
    _line("  beside an empty request and a write", [v.median / (e.median + f.write) for (e, v, _), f in evaluations])
    _line("evaluations, 64 clients", [v.per_second for _, v, _ in many], unit="/s")
    _line("  beside empty requests", [v.per_second / e.per_second for e, v, _ in many])
    _line("  server CPU of one", [1000 * v.cpu_seconds for _, v, _ in many], unit=" ms")


def test_evaluations_without_the_sync(bench: Bench, tmp_path: Path) -> None:
    with bench.serving(**skipped_sync(tmp_path)) as pid:
        rounds = [(bench.measure(pid, "empty", _MANY), bench.measure(pid, "evaluate", _MANY)) for _ in range(_ROUNDS)]
    print()
    _line("evaluations, 64 clients, nothing synced", [v.per_second for _, v in rounds], unit="/s")
    _line("  beside empty requests", [v.per_second / e.per_second for e, v in rounds])


def test_good_requests_while_a_stranger_floods(bench: Bench) -> None:
    """The stranger sends as fast as one connection takes it; what is left of the processor is the client's."""
    alone, flooded, sent = [], [], []
    with bench.serving() as pid:
        for _ in range(_ROUNDS):
            alone.append(bench.measure(pid, "evaluate", 1))
            with ThreadPoolExecutor() as threads:
                flood = threads.submit(bench.measure, pid, "refused", 1, 2 * _ROUND_SECONDS)
                flooded.append(bench.measure(pid, "evaluate", 1))
                sent.append(flood.result().per_second)
    print()
    _line("refusals while one client asks for evaluations", sent, unit="/s")
    _line(
        "  an evaluation's median beside that alone", [f.median / a.median for a, f in zip(alone, flooded, strict=True)]
    )
    _line("  its p99 beside that alone", [f.p99 / a.p99 for a, f in zip(alone, flooded, strict=True)])


def test_memory_over_many_step_ups(bench: Bench) -> None:
    print()
    with bench.serving() as pid:
        done = 0
        while done < _FLAT_STEP_UPS:
            done += len(bench.measure(pid, "step_up", _MANY, 10).latencies)
            print(f"  after {done:6} step-ups {_resident_mib(pid):6.1f} MiB")
