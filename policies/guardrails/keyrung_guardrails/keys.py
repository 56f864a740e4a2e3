"""Rules about one `keyrung.Key`: where it lives, for how long, and whether it can leave."""

from collections.abc import Iterator, Mapping

KEY = "keyrung:index:Key"
SIGNING_SUFFIX = "-signing"


def not_in_software(props: Mapping[str, object]) -> Iterator[str]:
    """Refuse a key in a file: everybody who reads the file has it."""
    if str(props.get("vault", "")).startswith("software:"):
        yield "the key lives in a file; name a pkcs11:, transit: or awskms: vault"


def signing_stays_inside(props: Mapping[str, object]) -> Iterator[str]:
    """Refuse a signing key that leaves its store, be it wrapped (SP 800-57 part 1, 5.3.4: don't archive them)."""
    if not str(props.get("purpose", "")).endswith(SIGNING_SUFFIX):
        return
    for name, what in {"escrow": "sealed to custodians", "copyTo": "copied to another store"}.items():
        if props.get(name):
            yield f"the signing key is {what}, so it is made extractable; leave out {name} and rotate instead"


def has_an_age(props: Mapping[str, object]) -> Iterator[str]:
    """Refuse a key whose generations have no declared age."""
    if not props.get("cryptoperiodDays"):
        yield "nobody decided how long a generation may be used; set cryptoperiod_days, for example 365"


def kek_survives_its_store(props: Mapping[str, object]) -> Iterator[str]:
    """Refuse a key-encryption key without escrow: with its store goes all that it wraps."""
    if props.get("purpose") == "kek" and not props.get("escrow"):
        yield "a lost store takes all that the kek wraps with it; declare an Escrow and give it to the key"
