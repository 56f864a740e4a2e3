"""Every check of one deployment, in the order in which a person would mend things."""

import ssl
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from keyrung_infra.doctor import audit, files, keys
from keyrung_infra.doctor.deployment import Deployment
from keyrung_infra.doctor.model import Check, Finding, examine, skip
from keyrung_infra.doctor.verifier import Reached
from keyrung_infra.errors import InfraError
from keyrung_infra.inventory.open import is_there, open_inventory
from keyrung_infra.keys.drift import Managers
from keyrung_provisioners.inventory import Inventory
from keyrung_provisioners.sources import resolve

_LOCAL_AUTHORITY = Path(".keyrung/openbao/ca.pem")


def examination(
    deployment: Deployment, managers: Managers, *, authority: Path | None, url: str | None, now: datetime
) -> Iterator[Check]:
    """Yield each check as it is done.

    Args:
        deployment: What was deployed.
        managers: Give the back end of a scheme.
        authority: PEM file of the authority behind the verifier's certificate; None: those of this machine and, of a
            local stack, its own.
        url: Where the verifier is reached, if not at its public address.
        now: The time of this machine.
    """
    yield examine("files", "the files with secrets are their owner's only", lambda: files.private(deployment))
    yield examine("inventory", "the inventory has every key as deployed", lambda: _recorded(deployment))
    yield examine(
        "keys",
        "every key stands in its store, with its thumbprint, within its time",
        lambda: keys.standing(_inventory(deployment), managers, now=now),
    )
    if deployment.bucket:
        yield from _in_aws(deployment, now)
    else:
        yield examine("configuration", "the verifier reads what was deployed", lambda: files.in_place(deployment))
        yield examine(
            "audit",
            "the audit log is whole and signed up to its head",
            lambda: audit.whole(deployment.parsed(), deployment.root, now=now),
        )
    reached = Reached(url or _public_url(deployment), _trust(deployment, authority))
    yield from of_verifier(reached, deployment, now=now)


def of_verifier(reached: Reached, deployment: Deployment, *, now: datetime) -> Iterator[Check]:
    """Yield the checks that ask the verifier; one cause that bars all of them is told by the first alone."""
    yield examine("tls", "the verifier answers with a certificate that counts", lambda: reached.certificate(now))
    looks: list[tuple[str, str, Callable[[], Iterator[Finding]]]] = [
        ("clock", "the verifier's clock is this machine's", lambda: reached.clock(now)),
        (
            "key set",
            "the verifier publishes the deployed keys",
            lambda: reached.keys(deployment, keys.withdrawn(_inventory(deployment))),
        ),
        ("policy", "the verifier decides by the deployed policy", lambda: reached.policy(deployment, now)),
    ]
    for name, looked_at, look in looks:
        if reached.barred:
            yield skip(name, looked_at, why=reached.barred, cause="tls")
        else:
            yield examine(name, looked_at, look)


def _in_aws(deployment: Deployment, now: datetime) -> Iterator[Check]:
    from keyrung_infra.doctor.aws import AwsSide  # noqa: PLC0415 - boto3 only for a stack in AWS

    there = AwsSide(deployment)
    yield examine("configuration", "the verifier reads what was deployed", there.configuration)
    yield examine("audit", "what is archived of the audit log is signed", lambda: there.archive(now))
    yield examine("alarms", "every alarm is there, quiet, and heard by somebody", there.alarms)


def _recorded(deployment: Deployment) -> Iterator[Finding]:
    return keys.recorded(deployment, _inventory(deployment))


def _inventory(deployment: Deployment) -> Inventory:
    place = deployment.inventory
    if not is_there(place, root=deployment.root):
        raise InfraError(f"there is no key inventory {place}", fix="restore the one that belongs to this stack")
    return open_inventory(place, root=deployment.root)


def _public_url(deployment: Deployment) -> str:
    url = resolve(str(deployment.parsed()["issuer"]), root=deployment.root)
    if urlsplit(url).scheme != "https":
        raise InfraError(f"the verifier's address {url} is not https", fix="set issuer to its https address")
    return url


def _trust(deployment: Deployment, authority: Path | None) -> ssl.SSLContext:
    own = deployment.root / _LOCAL_AUTHORITY
    chosen = authority or (own if not deployment.bucket and own.is_file() else None)
    try:
        trust = ssl.create_default_context()
        if chosen is not None:
            trust.load_verify_locations(cafile=chosen)
    except (OSError, ssl.SSLError) as error:
        raise InfraError(f"{chosen} holds no certificate of an authority", fix="name a PEM file with --ca") from error
    return trust
