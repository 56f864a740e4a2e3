"""A verifier under load from client processes, and what of time, processor and memory it takes."""

import base64
import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from support.load import REQUEST, Kind, Load, Person, question
from support.project import Project
from support.serving import application, serving, url_of
from support.verifier import TESTS, UnsafeTestKey, b64

from keyrung_infra.serve.build import build_records
from keyrung_infra.serve.settings import DEFAULT_CONFIG, read_settings

PEOPLE = 64
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


class LoadedVerifier:
    """A deployed project with people who can step up; its verifier can be run and loaded."""

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

    @contextmanager
    def clients(self, pid: int, kind: Kind, count: int) -> Iterator[Callable[[float], Measured]]:
        """Start one process, or two that begin together; yield what loads the verifier for so many seconds."""
        with ExitStack() as stack:
            running = []
            for number in range(min(2, count)):
                load = Load(kind=kind, people=self._people[:count][number::2], **self._load)
                running.append(stack.enter_context(_client(load)))
            yield lambda seconds: _measure(pid, running, seconds)


def _measure(pid: int, running: Sequence[subprocess.Popen[str]], seconds: float) -> Measured:
    for client in running:
        _tell(client, str(seconds))
        assert _heard(client) == "connected\n"
    before = _cpu_seconds(pid)
    for client in running:
        _tell(client, "begin")
    done = [json.loads(_heard(client)) for client in running]
    cpu_seconds = _cpu_seconds(pid) - before
    latencies = [each for one in done for each in one["latencies"]]
    elapsed = max(one["elapsed_seconds"] for one in done)
    return Measured(latencies=latencies, per_second=len(latencies) / elapsed, cpu_seconds=cpu_seconds / len(latencies))


def _enrol(project: Project) -> list[Person]:
    records = build_records(read_settings(project.root / DEFAULT_CONFIG), project.root)
    records.audit.open()
    people = []
    for number in range(PEOPLE):
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
        yield process
        assert process.stdin is not None
        process.stdin.close()


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


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
