"""Who could not satisfy a policy, and which routes no rule covers."""

from support.policies import HEAD, compiled

from keyrung_policies.impact import impact

POLICY = compiled(
    """
- {id: profile, actions: [profile.update], require: {level: otp, max_age: 5m}}
- {id: pay, actions: ["payments.*"], require: {level: phr, max_age: 5m}}
- {id: read, actions: [read], allow: true}
"""
).policy
HELD = {"anna": frozenset({"otp"}), "ben": frozenset({"token-signature-origin-bound"}), "cleo": frozenset[str]()}


def test_each_level_names_the_people_who_cannot_reach_it_and_who_asks() -> None:
    found = impact(POLICY, HELD, {})
    levels = {one.level: one for one in found.shortfalls}
    assert levels["phr"].subjects == ("anna", "cleo")
    assert (levels["phr"].rule_ids, levels["phr"].actions) == (("pay",), ("payments.*",))
    # A level above is good enough, so the token serves for the one-time password too.
    assert levels["otp"].subjects == ("cleo",)


def test_a_level_that_only_rules_together_ask_for_is_looked_at_too() -> None:
    both = HEAD.replace(
        "rules:\n",
        "  left: {acr: left, any_of: [[otp]]}\n"
        "  top: {acr: top, any_of: [[token-signature-origin-bound]], above: [phr, left]}\nrules:\n",
    )
    policy = compiled(
        "- {id: one, actions: [pay], require: {level: phr, max_age: 5m}}\n"
        "- {id: two, actions: [pay], require: {level: left, max_age: 5m}}",
        head=both,
    ).policy
    levels = {one.level: one for one in impact(policy, {"anna": frozenset({"otp"})}, {}).shortfalls}
    assert levels["top"].subjects == ("anna",)
    assert levels["top"].rule_ids == ("one", "two")


def test_a_route_without_a_rule_is_named_and_a_prefix_covers() -> None:
    routes = {"POST /transfers": "payments.transfer", "GET /a": "read", "DELETE /a": "accounts.close"}
    assert impact(POLICY, {}, routes).uncovered_routes == (("DELETE /a", "accounts.close"),)


def test_nobody_and_nothing_is_no_finding() -> None:
    found = impact(POLICY, {"ben": HELD["ben"]}, {"GET /a": "read"})
    assert not found.shortfalls
    assert not found.uncovered_routes
