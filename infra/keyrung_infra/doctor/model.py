"""What an examination consists of: checks, and findings that name their fix."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx

from keyrung_audit import AuditError
from keyrung_infra.errors import InfraError
from keyrung_provisioners.errors import ProvisionerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or could not be looked at, and what to do."""

    text: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: One word.
        looked_at: What is well if nothing was found, one sentence.
        skipped: Whether it was not looked at because of what another check found; its one finding says so.
    """

    name: str
    looked_at: str
    findings: tuple[Finding, ...] = ()
    skipped: bool = False


def examine(name: str, looked_at: str, look: Callable[[], Iterable[Finding]]) -> Check:
    """Return the check with what ``look`` finds; what cannot be looked at is a finding, too."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except (InfraError, ProvisionerError) as error:
        found.append(Finding(text=f"could not be looked at: {error.message}", fix=error.fix))
    except AuditError as error:
        found.append(Finding(text=f"could not be looked at: {error}", fix=error.fix))
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        found.append(Finding(text=f"could not be looked at: {why}", fix="start it, or mend the way to it"))
    return Check(name=name, looked_at=looked_at, findings=tuple(found))


def skip(name: str, looked_at: str, *, why: str, cause: str) -> Check:
    """Return the check as not looked at, which is no pass: ``why``, in a phrase, as the check ``cause`` found."""
    finding = Finding(text=f"not looked at: {why} (see {cause})", fix=f"mend what {cause} found, then look again")
    return Check(name=name, looked_at=looked_at, findings=(finding,), skipped=True)
