"""`make bench`: comparing two versions of a policy, beside a bare check of the solver. Prints ratios; asserts nothing.

The floor is one formula of as many thresholds as there are rules, handed to z3 as it is: what deciding costs when
nobody reads rules, reduces texts, names a request, or judges it again. Times are CPU seconds of the one thread that
works, so a busy machine changes them little. Rounds alternate, so that what slows one side slows the other.
"""

import statistics
import time
from collections.abc import Callable

import pytest
import z3

from keyrung_policies.analysis.diff import diff
from keyrung_policies.analysis.strength import Verdict
from keyrung_policies.compile import compile_texts
from keyrung_policies.policy_set import PolicySet

_ROUNDS = 3
_RULES_PER_ACTION = 5
_HEAD = """\
keyrung: policy/v1
default: deny
attributes:
  resource.amount: {type: integer, min: 0, max: 1000000}
  resource.path: {type: text}
  subject.team: {type: enum, values: [ops, sales, support]}
  signal.odd: {type: boolean}
levels:
  otp: {acr: "urn:keyrung:otp", any_of: [[otp]]}
  phr: {acr: phr, any_of: [[token-signature-origin-bound]], above: [otp]}
rules:
"""


def _policy(rules_count: int, *, step: int = 0, every: int = 1, rules_per_action: int = _RULES_PER_ACTION) -> PolicySet:
    """Return a policy; ``step`` moves the thresholds of each ``every``-th action."""
    rules = []
    for number in range(rules_count):
        action, kind = divmod(number, rules_per_action)
        limit = 1000 + 7 * number + (step if action % every == 0 else 0)
        rules.append(
            [
                f"when: {{resource.amount: {{lt: {limit}}}}}, allow: true",
                f"when: {{resource.amount: {{gte: {limit}}}}}, require: {{level: phr, max_age: 5m}}",
                f'when: {{resource.path: {{glob: "/tenants/{number}/*"}}}}, require: {{level: otp, max_age: 10m}}',
                'when: {signal.odd: true, time: {from: "22:00", to: "06:00"}}, require: {level: phr, max_age: 1m}',
                f"when: {{subject.team: support, resource.amount: {{gt: {limit + 500}}}}}, deny: true",
            ][kind % 5]
        )
    lines = [
        f"  - {{id: r{number}, actions: [service-{number // rules_per_action}.act], {text}}}"
        for number, text in enumerate(rules)
    ]
    return compile_texts({"policy.yaml": (_HEAD + "\n".join(lines)).encode()}).policy


def _bare_check(rules_count: int) -> None:
    amount, odd, team = z3.Int("amount"), z3.Bool("odd"), z3.Int("team")
    thresholds = [
        z3.And(amount >= 1000 + 7 * number, team == number % 3, z3.Or(odd, amount < 5000 + number))
        for number in range(rules_count)
    ]
    solver = z3.Solver()
    solver.add(z3.Or(thresholds), z3.Not(z3.Or(thresholds[1:])))
    solver.check()


def _timed(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


@pytest.mark.parametrize("rules_count", [100, 1000])
@pytest.mark.parametrize(
    ("what", "every", "rules_per_action"),
    [
        ("nothing changed", 0, _RULES_PER_ACTION),
        ("one action in ten changed", 10, _RULES_PER_ACTION),
        ("every action changed", 1, _RULES_PER_ACTION),
        ("all rules on one action, changed", 1, 1000),
    ],
)
def test_diff(rules_count: int, what: str, every: int, rules_per_action: int) -> None:
    base = _policy(rules_count, rules_per_action=rules_per_action)
    head = _policy(rules_count, step=3 if every else 0, every=every or 1, rules_per_action=rules_per_action)
    bare, ours = [], []
    verdict = Verdict.UNDECIDED
    for _ in range(_ROUNDS):
        bare.append(_timed(lambda: _bare_check(rules_count)))
        began = time.process_time()
        verdict = diff(base, head, timeout_seconds=600).verdict
        ours.append(time.process_time() - began)
    ratios = sorted(one / other for one, other in zip(ours, bare, strict=True))
    print(
        f"\n{rules_count} rules, {what}: {verdict}, {statistics.median(ours):.2f} s; bare check "
        f"{statistics.median(bare):.2f} s; ratio {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
    )
