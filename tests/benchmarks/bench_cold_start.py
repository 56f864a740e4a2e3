"""`make bench`: the first call of the verifier's bundle in the emulator of the Lambda runtime; asserts nothing.

The floor is a handler in the same emulator that imports nothing but msgspec and what of cryptography checks one
signature. It answers at once, and so does ours here: an event that it cannot read is refused before anything is asked
of AWS. Beside it stands the first evaluation against AWS as moto plays it, which is moto's time for the most part.
Rounds alternate, so that a busy machine slows all.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from support.aws import close_clients
from support.aws_deployment import AwsDeployment, deploy
from support.kms import put_kms_right
from support.lambda_emulator import emulated, unpack_bundle
from support.lambda_events import SESSION_ARN, http_event
from support.moto_server import moto_server
from support.verifier import evaluation

_ROUNDS = 7
_HANDLER = "keyrung_verifier.handler.http"
_FLOOR = """
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

def handle(event, context):
    return {"statusCode": 400}
"""


def _first_and_next(
    folder: Path, task: Path, handler: str, deployment: AwsDeployment, event: Any
) -> tuple[float, float]:
    """Return the milliseconds of the first call and of the second."""
    with emulated(folder, task, handler, environment=deployment.environment()) as function:
        took = []
        for _ in range(2):
            began = time.perf_counter()
            function.call(event)
            took.append((time.perf_counter() - began) * 1000)
        return took[0], took[1]


def test_cold_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_kms_right(monkeypatch)
    task = unpack_bundle(tmp_path)
    (task / "floor.py").write_text(_FLOOR)
    question = http_event("POST", "/access/v1/evaluation", evaluation("accounts.read"), principal=SESSION_ARN)
    with moto_server() as endpoint:
        deployment = deploy(endpoint)
        deployment.enrol_totp()  # the log is open, as it is but for the very first call of a deployment
        kinds: dict[str, tuple[str, Any]] = {
            "floor": ("floor.handle", {}),
            "verifier": (_HANDLER, {}),
            "first evaluation": (_HANDLER, question),
        }
        rounds = [
            {
                name: _first_and_next(tmp_path, task, handler, deployment, event)
                for name, (handler, event) in kinds.items()
            }
            for _ in range(_ROUNDS)
        ]
        close_clients()
    for name in kinds:
        firsts, nexts = zip(*(each[name] for each in rounds), strict=True)
        ratios = sorted(each[name][0] / each["floor"][0] for each in rounds)
        print(
            f"\n{name}: first call {statistics.median(firsts):.0f} ms, next {statistics.median(nexts):.1f} ms,"
            f" first beside the floor's {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
