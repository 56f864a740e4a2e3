"""The settings of the stack for development."""

from dataclasses import dataclass

from keyrung_infra.settings import StackConfig

_CLIENT = '[{client_id: api, audience: "https://api.example.com", secret: "file:PATH"}]'


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """Settings of one stack; Pulumi.yaml documents each of them.

    Attributes:
        token: Vault of the assertion key.
        transit: Vault of the policy, audit and seed keys.
        issuer: Public URL of the verifier, a literal or a reference.
        verifier_backends: How the verifier reaches the vaults, with credentials of its own (references).
        clients: Applications that may ask for decisions.
    """

    token: str
    transit: str
    state_folder: str
    issuer: str
    protect_keys: bool
    key_generation: int
    key_publish_seconds: int
    key_overlap_seconds: int
    cryptoperiod_days: int
    bundle_lifetime_days: int
    allow_weaker_policies: bool
    verifier_backends: dict[str, str]
    clients: list[dict[str, str]]

    @classmethod
    def load(cls) -> "LocalSettings":
        """Return the settings of the selected stack."""
        config = StackConfig()
        return cls(
            token=config.text("token", example="pkcs11:token=keyrung"),
            transit=config.text("transit", example="transit:mount=keyrung"),
            state_folder=config.text("stateFolder", example=".keyrung"),
            issuer=config.text("issuer", example="https://stepup.example.com"),
            protect_keys=config.flag("protectKeys"),
            key_generation=config.number("keyGeneration", least=1, example=1),
            key_publish_seconds=config.number("keyPublishSeconds", least=0, example=600),
            key_overlap_seconds=config.number("keyOverlapSeconds", least=0, example=86400),
            cryptoperiod_days=config.number("cryptoperiodDays", least=1, example=365),
            bundle_lifetime_days=config.number("bundleLifetimeDays", least=1, example=90),
            allow_weaker_policies=config.flag("allowWeakerPolicies"),
            verifier_backends=config.mapping("verifierBackends", example="{transitAddress: file:PATH}"),
            clients=config.records("clients", frozenset({"client_id", "audience", "secret"}), example=_CLIENT),
        )
