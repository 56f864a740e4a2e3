"""Where each part of the local stack keeps its files: the one place that spells these paths."""

from dataclasses import dataclass
from pathlib import Path

from keyrung_infra.project import STATE_FOLDER

TRANSIT_MOUNT = "keyrung"
TOKEN_LABEL = "keyrung"  # noqa: S105 - a PKCS#11 label
SAMPLE_CLIENT = "sample-api"
ROLES = ("deployer", "verifier", "auditor")

# The committed Pulumi.local.yaml carries a salt made with this passphrase, so it is public and fixed. The local stack
# keeps no secret in its configuration or state; a real stack names a KMS as its secrets provider instead.
PULUMI_PASSPHRASE = "keyrung-local-development"  # noqa: S105 - public, see above


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBaoLayout:
    """The files of the OpenBao server."""

    folder: Path

    @property
    def config(self) -> Path:
        """The server's configuration, written anew at each start."""
        return self.folder / "config.hcl"

    @property
    def data(self) -> Path:
        """The raft storage."""
        return self.folder / "data"

    @property
    def ca(self) -> Path:
        """The certificate of the stack's own authority."""
        return self.folder / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The private key of that authority."""
        return self.folder / "ca-key.pem"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.folder / "server.pem"

    @property
    def certificate_key(self) -> Path:
        """The private key of the server's certificate."""
        return self.folder / "server-key.pem"

    @property
    def address(self) -> Path:
        """One line, https://127.0.0.1:PORT. Read at each use, since the port may change at a restart."""
        return self.folder / "address"

    @property
    def unseal(self) -> Path:
        """The unseal key."""
        return self.folder / "unseal.json"

    @property
    def initialising(self) -> Path:
        """Stands from before the storage is begun until its unseal key is saved."""
        return self.folder / "initialising"

    @property
    def admin_socket(self) -> Path:
        """The Unix socket on which root tokens may be generated; nobody but the owner reaches it."""
        return self.folder / "admin.sock"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "server.log"

    @property
    def pid(self) -> Path:
        """One line, the process id of the server last started."""
        return self.folder / "pid"

    def token(self, role: str) -> Path:
        """One line, the token of ``role``."""
        return self.folder / "tokens" / role


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftHsmLayout:
    """The files of the SoftHSM token."""

    folder: Path

    @property
    def config(self) -> Path:
        """What SOFTHSM2_CONF names."""
        return self.folder / "softhsm2.conf"

    @property
    def tokens(self) -> Path:
        """Where SoftHSM keeps its objects."""
        return self.folder / "tokens"

    @property
    def module(self) -> Path:
        """One line, the path of the PKCS#11 library."""
        return self.folder / "module"

    @property
    def pin(self) -> Path:
        """One line, the user PIN."""
        return self.folder / "pin"

    @property
    def so_pin(self) -> Path:
        """One line, the security officer's PIN."""
        return self.folder / "so-pin"

    @property
    def lock(self) -> Path:
        """Held while the token is made or repaired."""
        return self.folder / "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The local state folder of one project."""

    root: Path

    @property
    def state(self) -> Path:
        """The folder that `make clean` removes."""
        return self.root / STATE_FOLDER

    @property
    def openbao(self) -> OpenBaoLayout:
        """The OpenBao server."""
        return OpenBaoLayout(folder=self.state / "openbao")

    @property
    def softhsm(self) -> SoftHsmLayout:
        """The SoftHSM token."""
        return SoftHsmLayout(folder=self.state / "softhsm")

    @property
    def description(self) -> Path:
        """Addresses, process id and versions of the stack, without a secret."""
        return self.state / "dev.json"

    @property
    def lock(self) -> Path:
        """Held while the stack is brought up or down."""
        return self.state / "dev.lock"

    @property
    def verifier_certificate(self) -> Path:
        """The verifier's certificate."""
        return self.state / "tls" / "server.pem"

    @property
    def verifier_certificate_key(self) -> Path:
        """The private key of the verifier's certificate."""
        return self.state / "tls" / "server-key.pem"

    @property
    def verifier_address(self) -> Path:
        """One line, https://localhost:PORT, where the verifier listens; the deployed configuration refers to it."""
        return self.state / "verifier" / "address"

    @property
    def sample_client_secret(self) -> Path:
        """One line, the client secret of the sample API."""
        return self.state / "clients" / SAMPLE_CLIENT

    @property
    def pulumi_state(self) -> Path:
        """The file back end."""
        return self.state / "pulumi" / "state"

    @property
    def pulumi_home(self) -> Path:
        """Pulumi's own files, so that nothing is written in the user's home."""
        return self.state / "pulumi" / "home"

    @property
    def pulumi_passphrase(self) -> Path:
        """What PULUMI_CONFIG_PASSPHRASE_FILE names."""
        return self.state / "pulumi" / "passphrase"
