"""Follows the deployed configuration: a rotation reaches a running verifier without a restart."""

from pathlib import Path

from keyrung_infra.serve.keys import DeployedKeys
from keyrung_infra.serve.settings import read_settings
from keyrung_verifier.policy_source import WatchedPolicySource


class DeploymentFollower:
    """Takes the keys of a changed configuration file; its other members need a restart."""

    def __init__(self, config: Path, *, keys: DeployedKeys, policy_source: WatchedPolicySource) -> None:
        """Follow the file ``config``; the first `follow` takes it as it is then."""
        self._config = config
        self._keys = keys
        self._policy_source = policy_source
        self._seen: tuple[int, int] | None = None

    def follow(self) -> None:
        """Take in a changed file; what fails leaves the keys as they were, and is tried again the next time.

        Raises:
            InfraError: If the file cannot be read, or a store holds another key than it declares.
            ProvisionerError: If a store cannot be reached.
        """
        found = self._config.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._seen:
            settings = read_settings(self._config)
            self._keys.renew(settings)
            self._policy_source.trust(settings.policy.keys)
            self._seen = stamp
