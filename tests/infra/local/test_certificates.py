"""The stack's authority and its server certificates, judged by OpenSSL."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyrung_infra.local.certificates import ensure_authority, ensure_server

_NOW = datetime.now(UTC)


class Pair:
    """An authority and one server certificate in a folder."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.ca_key = folder / "ca.pem", folder / "ca-key.pem"
        self.server, self.server_key = folder / "server.pem", folder / "server-key.pem"

    def ensure(self, now: datetime = _NOW) -> tuple[bool, bool]:
        """Return what was made: the authority, the server certificate."""
        made = ensure_authority(self.ca, self.ca_key, now=now)
        return made, ensure_server(self.server, self.server_key, authority=self.ca, authority_key=self.ca_key, now=now)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    made = Pair(tmp_path)
    assert made.ensure() == (True, True)
    return made


def _openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True).stdout


def test_openssl_accepts_the_chain_under_strict_rules(pair: Pair) -> None:
    for name in ("-verify_hostname=localhost", "-verify_ip=127.0.0.1"):
        option, value = name.split("=")
        answer = _openssl(
            "verify", "-x509_strict", "-purpose", "sslserver", option, value, "-CAfile", str(pair.ca), str(pair.server)
        )
        assert answer.endswith(": OK\n")


def test_server_certificate_cannot_sign_others(pair: Pair) -> None:
    text = _openssl("x509", "-noout", "-text", "-in", str(pair.server))
    assert "CA:FALSE" in text
    assert "Certificate Sign" not in text


def test_keys_fit_and_are_private(pair: Pair) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.server, pair.server_key)
    assert [path.stat().st_mode & 0o777 for path in (pair.ca_key, pair.server_key)] == [0o600, 0o600]


def test_second_call_makes_nothing(pair: Pair) -> None:
    assert pair.ensure() == (False, False)


@pytest.mark.parametrize(
    ("days", "made"),
    [(300, (False, False)), (368, (False, True)), (3500, (False, True)), (3621, (True, True))],
)
def test_certificates_are_renewed_a_month_before_they_end(pair: Pair, days: int, made: tuple[bool, bool]) -> None:
    assert pair.ensure(_NOW + timedelta(days=days)) == made


def test_certificate_from_the_future_is_replaced(pair: Pair) -> None:
    assert pair.ensure(_NOW - timedelta(days=2)) == (True, True)


def test_certificate_of_another_authority_is_replaced(pair: Pair) -> None:
    pair.ca.unlink()
    assert pair.ensure() == (True, True)


@pytest.mark.parametrize("name", ["server", "server_key"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_damaged_file_is_replaced(pair: Pair, name: str, content: bytes) -> None:
    getattr(pair, name).write_bytes(content)
    assert pair.ensure() == (False, True)


def test_key_of_another_certificate_is_replaced(pair: Pair) -> None:
    pair.server_key.write_bytes(pair.ca_key.read_bytes())
    assert pair.ensure() == (False, True)
