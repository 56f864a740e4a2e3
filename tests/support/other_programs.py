"""`openssl` and `bao` as witnesses: what they say of a signature or a key is neither our code nor `cryptography`."""

import json
import subprocess
from pathlib import Path
from typing import Any

from support.openbao import OpenBaoServer

# What openssl needs to be told of each algorithm's signatures.
_DIGESTS = {"P-256": "-sha256", "P-384": "-sha384", "RSA-3072": "-sha256"}
_PSS = ("rsa_padding_mode:pss", "rsa_pss_saltlen:32", "rsa_mgf1_md:sha256")


def der_signature(raw: bytes) -> bytes:
    """Return r||s as DER (RFC 3279 section 2.2.3)."""
    half = len(raw) // 2
    body = b"".join(_der_integer(part.lstrip(b"\0")) for part in (raw[:half], raw[half:]))
    return b"\x30" + _der_length(len(body)) + body


def openssl_verifies(folder: Path, algorithm: str, public_key_pem: str, message: bytes, signature: bytes) -> bool:
    """Return what openssl says of a signature in JOSE form."""
    curve = algorithm.startswith("P-")
    for name, content in {
        "public.pem": public_key_pem.encode(),
        "message": message,
        "signature": der_signature(signature) if curve else signature,
    }.items():
        (folder / name).write_bytes(content)
    if algorithm == "Ed25519":
        command = ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "message"]
        command += ["-sigfile", "signature"]
    else:
        command = ["dgst", _DIGESTS[algorithm], "-verify", "public.pem", "-signature", "signature"]
        command += [part for option in (() if curve else _PSS) for part in ("-sigopt", option)]
        command.append("message")
    done = subprocess.run(["openssl", *command], cwd=folder, capture_output=True, text=True)
    assert done.stdout.strip() in {
        "Verified OK",
        "Verification failure",
        "Signature Verified Successfully",
        "Signature Verification Failure",
    }, done.stderr
    return done.returncode == 0


def bao(program: Path, server: OpenBaoServer, token: str, *arguments: str) -> dict[str, Any]:
    """Return the data that OpenBao's own command line shows."""
    command, path, *data = arguments
    done = subprocess.run(
        [program, command, "-format=json", path, *data],
        env={"BAO_ADDR": server.address, "BAO_CACERT": str(server.ca), "BAO_TOKEN": token, "HOME": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)["data"]
    return answer


def _der_integer(number: bytes) -> bytes:
    body = bytes(number[0] >> 7) + number
    return b"\x02" + bytes([len(body)]) + body


def _der_length(length: int) -> bytes:
    return bytes([length]) if length < 0x80 else bytes([0x81, length])
