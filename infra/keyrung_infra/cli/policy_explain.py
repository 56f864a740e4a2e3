"""`keyrung policy explain`: one request, its decision, and what every rule made of it."""

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from keyrung_infra.cli.policy_common import end, finish, json_option, read_policy
from keyrung_policies.explain import Explanation, RuleView, explain
from keyrung_policies.model import (
    BINDINGS,
    Attribute,
    BooleanAttribute,
    IntegerAttribute,
    Request,
    Requirement,
    SetAttribute,
    Value,
)
from keyrung_policies.policy_set import PolicySet
from keyrung_policies.satisfaction import Held, Satisfaction, satisfaction
from keyrung_policies.words import requirement_words
from keyrung_verifier.limits import CLOCK_SKEW_SECONDS

# Code of a denial's first reason -> what would change it.
_WOULD_HELP = {
    "attribute-missing": "send what is missing with the request",
    "attribute-mismatch": "send a value that the policy declares",
    "default-deny": "no step-up would help; a rule would have to require one or allow it",
}
_STATES = {"applies": "applies", "does-not-apply": "does not apply", "not-judged": "not judged"}


@click.command("explain")
@click.option("--policy", "path", type=click.Path(path_type=Path), help="File or folder; without it policies/catalog.")
@click.option("--action", required=True, help="What is asked for, as in payments.transfer.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="May be repeated; a list as a,b.")
@click.option("--at", "moment", help="Moment of the request, like 2026-11-25T22:30:00Z; now without it.")
@click.option("--held", metavar="ACR,TIME", help="A step-up made before: acr and moment (or Unix seconds).")
@click.option(
    "--held-for",
    type=click.Choice(("this", "other")),
    default="this",
    show_default=True,
    help="Which request the held step-up was made for.",
)
@click.option("--held-used", type=click.IntRange(min=0), default=0, show_default=True, help="Requests it has paid for.")
@json_option
def command(
    *,
    path: Path | None,
    action: str,
    attributes: tuple[str, ...],
    moment: str | None,
    held: str | None,
    held_for: str,
    held_used: int,
    as_json: bool,
) -> None:
    """Say what a request gets, because of which rules, and what would satisfy them.

    Exits with 0 if the request passes, by itself or with the held step-up, and with 1 otherwise.
    """
    policy = read_policy(path, as_json=as_json).policy
    now = datetime.now(UTC) if moment is None else _moment(moment)
    request = Request(action=action, attributes=dict(_attribute(policy, text) for text in attributes))
    explanation = explain(policy, request, now)
    requirement = explanation.decision.requirement
    verdict = None
    if held is not None and requirement is not None:
        made = _held(held, same_request=held_for == "this", used_count=held_used)
        verdict = satisfaction(requirement, made, now, skew_seconds=CLOCK_SKEW_SECONDS)
    passes = explanation.decision.outcome == "allow" or (verdict is not None and verdict.satisfied)
    if as_json:
        finish(_document(explanation, verdict, passes=passes), found=not passes)
    click.echo("\n".join(_lines(action, explanation, verdict)))
    end(found=not passes)


def _attribute(policy: PolicySet, text: str) -> tuple[str, Value]:
    name, equals, value = text.partition("=")
    attribute = policy.document.attributes.get(name)
    if not equals:
        raise click.UsageError(f"--attribute {text!r} has no value; write NAME=VALUE.")
    if attribute is None:
        known = ", ".join(policy.document.attributes) or "none"
        raise click.UsageError(f"the policy declares no attribute {name!r}; it declares {known}.")
    return name, _value(attribute, value)


def _value(attribute: Attribute, text: str) -> Value:
    """Return the value in its declared type; one that is not of it stays text, and the policy denies it."""
    if isinstance(attribute, SetAttribute):
        return tuple(text.split(",")) if text else ()
    if isinstance(attribute, BooleanAttribute):
        return {"true": True, "false": False}.get(text, text)
    if isinstance(attribute, IntegerAttribute) and text.removeprefix("-").isdecimal() and text.isascii():
        return int(text)
    return text


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromtimestamp(int(text), UTC) if text.isdecimal() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.UsageError(f"{text!r} is no moment with a time zone; write it like 2026-11-25T22:30:00Z.")
    return moment


def _held(text: str, *, same_request: bool, used_count: int) -> Held:
    acr, comma, time = text.rpartition(",")
    if not comma:
        raise click.UsageError(f"--held {text!r} has no time; write ACR,TIME like phr,2026-11-25T22:30:00Z.")
    return Held(acr=acr, auth_time=_moment(time), same=BINDINGS if same_request else (), used_count=used_count)


def _document(explanation: Explanation, verdict: Satisfaction | None, *, passes: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "passes": passes,
        "decision": msgspec.to_builtins(explanation.decision),
        "rules": msgspec.to_builtins(explanation.rules),
    }
    if verdict is not None:
        document["held"] = {
            "satisfied": verdict.satisfied,
            "missing": list(verdict.missing),
            "good_until": verdict.good_until.isoformat(),
        }
    return document


def _lines(action: str, explanation: Explanation, verdict: Satisfaction | None) -> list[str]:
    decision = explanation.decision
    lines = [f"{action}: {decision.outcome}"]
    if decision.requirement is not None:
        lines += _requirement_lines(decision.requirement)
    else:
        lines += [f"  because  {reason.partition(': ')[2]}" for reason in decision.reasons]
    if verdict is not None:
        lines += _held_lines(verdict)
    elif decision.outcome == "deny":
        lines.append(f"  {_WOULD_HELP.get(decision.reasons[0].partition(':')[0], 'no step-up would help')}")
    if explanation.rules:
        lines += ["", "rules for this action:"]
    for rule in explanation.rules:
        lines += _rule_lines(rule)
    return lines


def _requirement_lines(requirement: Requirement) -> list[str]:
    lines = [
        f"  needs    {requirement_words(requirement)}",
        f"  told as  acr_values={' '.join(requirement.acr_values)}",
    ]
    return lines if requirement.display is None else [*lines, f"  shows    {requirement.display}"]


def _held_lines(verdict: Satisfaction) -> list[str]:
    until = f"{verdict.good_until:%Y-%m-%d %H:%M:%S %Z}"
    if verdict.satisfied:
        return [f"  held     is good enough, until {until}"]
    return ["  held     is not good enough:", *(f"           {sentence}" for sentence in verdict.missing)]


def _rule_lines(rule: RuleView) -> list[str]:
    head = f"  {rule.rule_id}: {rule.effect}; {_STATES[rule.state]}"
    return [head if rule.because else f"{head} (it has no condition)", *(f"    {reason}" for reason in rule.because)]
