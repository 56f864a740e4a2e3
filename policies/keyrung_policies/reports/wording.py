"""Decisions, requests and differences in words, the same in every report."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from keyrung_policies.analysis.differences import Difference
from keyrung_policies.analysis.strength import Verdict
from keyrung_policies.cases import DEFAULT_MOMENT
from keyrung_policies.display import escape
from keyrung_policies.model import Decision, Request, Requirement, Value

SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600

# Respect -> what it means when the new version is weaker in it, and when it is stronger.
RESPECTS: dict[str, tuple[str, str]] = {
    "deny-to-allow": ("what was denied passes", ""),
    "deny-to-step-up": ("what was denied passes after a step-up", ""),
    "step-up-to-allow": ("no step-up is asked for any more", ""),
    "allow-to-deny": ("", "what passed is denied"),
    "step-up-to-deny": ("", "what passed after a step-up is denied"),
    "allow-to-step-up": ("", "a step-up is asked for"),
    "level": ("more proofs are good enough", "fewer proofs are good enough"),
    "max-age": ("the step-up may be older", "the step-up must be fresher"),
    "bind": ("the step-up is bound to less of the request", "the step-up is bound to more of the request"),
    "single-use": ("a step-up pays more than once", "a step-up pays once only"),
    "batch": ("a step-up pays for more requests", "a step-up pays for fewer requests"),
}
DISPLAY = "people approve another text"
HEADLINES: dict[Verdict, str] = {
    Verdict.EQUAL: "Equal: every possible request gets the same answer.",
    Verdict.STRONGER: "Stronger: some requests are asked for more, and none for less.",
    Verdict.WEAKER: "Weaker: some requests are asked for less.",
    Verdict.BOTH: "Weaker and stronger: some requests are asked for less, others for more.",
    Verdict.UNDECIDED: "Not decided: it is not proved that nothing is weaker, so count it as weaker.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing a difference does, and to which side it tips."""

    verdict: Verdict
    sentence: str


def effects(difference: Difference) -> list[Effect]:
    """Return what a difference does, weaker things first."""
    found = [Effect(verdict=Verdict.WEAKER, sentence=RESPECTS[name][0]) for name in difference.comparison.weaker]
    found += [Effect(verdict=Verdict.STRONGER, sentence=RESPECTS[name][1]) for name in difference.comparison.stronger]
    if difference.display:
        found.append(Effect(verdict=Verdict.EQUAL, sentence=DISPLAY))
    return found


def decision_words(decision: Decision) -> str:
    """Return a decision in a few words."""
    if decision.requirement is None:
        return decision.outcome
    return f"step-up: {', '.join(requirement_words(decision.requirement))}"


def requirement_words(requirement: Requirement) -> Iterator[str]:
    """Yield what a step-up must be, part by part."""
    yield requirement.level
    yield (
        "this request only" if requirement.max_age_seconds == 0 else f"at most {span(requirement.max_age_seconds)} old"
    )
    yield f"bound to {' + '.join(requirement.bind)}" if requirement.bind else "bound to nothing"
    if requirement.single_use:
        yield "once"
    elif requirement.batch is not None:
        yield f"for {requirement.batch.count} requests within {span(requirement.batch.within_seconds)}"
    else:
        yield "as often as wanted"


def display(decision: Decision) -> str:
    """Return the text that a person approves, empty where there is none."""
    return (decision.requirement.display or "") if decision.requirement is not None else ""


def because(decision: Decision) -> str:
    """Return which rules decided, or why none did."""
    if decision.rule_ids:
        return ", ".join(decision.rule_ids)
    return "; ".join(escape(reason.partition(": ")[2]) for reason in decision.reasons)


def span(seconds: int) -> str:
    """Return a duration as policies write it."""
    if seconds % SECONDS_PER_HOUR == 0 and seconds:
        return f"{seconds // SECONDS_PER_HOUR}h"
    if seconds % SECONDS_PER_MINUTE == 0 and seconds:
        return f"{seconds // SECONDS_PER_MINUTE}m"
    return f"{seconds}s"


def request_lines(request: Request, now: datetime) -> list[str]:
    """Return a request as lines: the action, each attribute, and the time where it is not noon."""
    lines = [request.action]
    lines += [f"{name}: {value_words(value)}" for name, value in sorted(request.attributes.items())]
    if now != DEFAULT_MOMENT:
        lines.append(f"at {now:%H:%M} UTC")
    return lines


def value_words(value: Value) -> str:
    """Return a value as policies write it; nothing in it can hide or turn the text around it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(value_words, value))}]"
    if isinstance(value, int):
        return str(value)
    return f'"{escape(value)}"'


def change_words(change: int) -> str:
    """Return how many step-ups more or fewer."""
    if change == 0:
        return "As many step-ups as recorded"
    noun = "step-up" if abs(change) == 1 else "step-ups"
    return f"{abs(change)} {noun} {'more' if change > 0 else 'fewer'} than recorded"
