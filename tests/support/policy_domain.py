"""Small policies over a finite domain, and every request of that domain.

The counterpart of the analysis: nothing is reduced and nothing is solved here, everything is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import msgspec
from hypothesis import strategies as st

from keyrung_policies import model
from keyrung_policies.model import BINDINGS, Condition, Document, Request, Require, Rule
from keyrung_policies.policy_set import PolicySet, policy_set

MISSING = object()
ACTIONS = ["a", "a.b", "a.b.c", "a.*", "a.b.*", "*"]
# One action of every class that these patterns can make, found by looking at them.
TRIED_ACTIONS = ["a", "a.b", "a.b.c", "a.zz", "a.b.zz", "zz", "zz.a"]
MINUTES = [0, 1, 719, 720, 721, 1439]
MAX_AGES_SECONDS = [60, 120, 300]
_LETTERS = "ab"
_TEXTS = ["".join(letters) for length in range(3) for letters in product(_LETTERS, repeat=length)] + ["aaa"]
_LISTS = [items for length in range(3) for items in product("rst", repeat=length)] + [("r", "s", "s")]
# Attribute -> the declarations it may have.
DECLARATIONS: dict[str, list[model.Attribute]] = {
    "resource.n": [
        model.IntegerAttribute(audit="omit", min=0, max=3),
        model.IntegerAttribute(audit="value", min=0, max=2),
        model.IntegerAttribute(audit="omit", min=-1, max=3),
    ],
    "resource.kind": [
        model.EnumAttribute(audit="omit", values=("a", "b")),
        model.EnumAttribute(audit="omit", values=("a", "b", "c")),
    ],
    "resource.path": [
        model.TextAttribute(audit="omit", max_length=2),
        model.TextAttribute(audit="omit", max_length=1),
        model.EnumAttribute(audit="omit", values=("a", "ab")),
    ],
    "signal.odd": [model.BooleanAttribute(audit="omit")],
    "context.address": [model.IpAttribute(audit="omit")],
    "subject.roles": [
        model.SetAttribute(audit="omit", values=None, min_items=0, max_items=2),
        model.SetAttribute(audit="omit", values=("r", "s"), min_items=1, max_items=2),
    ],
}
# Attribute -> every value a request of the domain may have; each list holds values outside each declaration.
VALUES: dict[str, list[object]] = {
    "resource.n": [MISSING, -2, -1, 0, 1, 2, 3, 4, "a", True],
    "resource.kind": [MISSING, "a", "b", "c", "d", 0],
    "resource.path": [MISSING, *_TEXTS, 0],
    "signal.odd": [MISSING, True, False, 0],
    "context.address": [
        MISSING,
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
        "::ffff:10.0.0.1",
        "11.0.0.0",
        "2001:db8::1",
        "::1",
        "x",
    ],
    "subject.roles": [MISSING, *_LISTS, "r"],
}
_NETWORKS = ["10.0.0.0/31", "10.0.0.1/32", "10.0.0.0/30", "2001:db8::/32", "::/0", "::ffff:0:0/96"]


def tests_of(name: str, attribute: model.Attribute) -> st.SearchStrategy[Condition]:
    """Return tests that are defined for an attribute."""
    match attribute:
        case model.IntegerAttribute(min=least, max=most):
            numbers = st.integers(least, most)
            return st.one_of(
                st.builds(model.Equals, attribute=st.just(name), value=numbers),
                st.builds(
                    model.Ordered, attribute=st.just(name), ordering=st.sampled_from(model.ORDERINGS), bound=numbers
                ),
                st.builds(
                    model.OneOf, attribute=st.just(name), values=st.lists(numbers, min_size=1, max_size=2).map(tuple)
                ),
            )
        case model.EnumAttribute(values=values):
            return st.one_of(
                st.builds(model.Equals, attribute=st.just(name), value=st.sampled_from(values)),
                st.builds(
                    model.OneOf,
                    attribute=st.just(name),
                    values=st.lists(st.sampled_from(values), min_size=1).map(tuple),
                ),
            )
        case model.TextAttribute(max_length=most):
            texts = st.text(_LETTERS, max_size=most)
            return st.one_of(
                st.builds(model.Equals, attribute=st.just(name), value=texts),
                st.builds(model.Glob, attribute=st.just(name), pattern=st.text("ab**", min_size=1, max_size=4)),
            )
        case model.BooleanAttribute():
            return st.builds(model.Equals, attribute=st.just(name), value=st.booleans())
        case model.SetAttribute(values=values):
            items = st.sampled_from(values or ("r", "s", "t"))
            return st.builds(model.Has, attribute=st.just(name), value=items)
        case _:
            networks = st.lists(st.sampled_from(_NETWORKS), min_size=1, max_size=2, unique=True)
            return st.builds(model.Cidr, attribute=st.just(name), networks=networks.map(tuple))


def conditions(attributes: dict[str, model.Attribute]) -> st.SearchStrategy[Condition]:
    """Return conditions over the declared attributes and the time of day."""
    borders = st.permutations([0, 1, 720, 721]).map(lambda order: order[:2])
    windows: st.SearchStrategy[Condition] = borders.map(
        lambda pair: model.TimeWindow(start_minute=pair[0], end_minute=pair[1])
    )
    leaves = st.one_of(*(tests_of(name, attribute) for name, attribute in attributes.items()), windows)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(model.Not, part=inner),
            st.builds(model.All, parts=st.lists(inner, min_size=2, max_size=2).map(tuple)),
            st.builds(model.Any, parts=st.lists(inner, min_size=2, max_size=2).map(tuple)),
        ),
        max_leaves=3,
    )


LEVELS: list[dict[str, model.Level]] = [
    {
        "low": model.Level(acr="low", any_of=(("otp",),), above=()),
        "left": model.Level(acr="left", any_of=(("otp", "webauthn-uv"),), above=("low",)),
        "right": model.Level(acr="right", any_of=(("token-signature-origin-bound",),), above=("low",)),
        "top": model.Level(acr="top", any_of=(("token-signature-attested", "otp"),), above=("left", "right")),
    },
    # The same under other names.
    {
        "l0": model.Level(acr="low", any_of=(("otp",),), above=()),
        "l1": model.Level(acr="left", any_of=(("otp", "webauthn-uv"),), above=("l0",)),
        "l2": model.Level(acr="right", any_of=(("token-signature-origin-bound",),), above=("l0",)),
        "l3": model.Level(acr="top", any_of=(("token-signature-attested", "otp"),), above=("l1", "l2")),
    },
    # Two acrs swapped, and a level that a one-time password reaches.
    {
        "low": model.Level(acr="left", any_of=(("otp",),), above=()),
        "right": model.Level(acr="low", any_of=(("token-signature-origin-bound",), ("otp",)), above=("low",)),
    },
]


@st.composite
def requires(draw: st.DrawFn, levels: dict[str, model.Level], attributes: dict[str, model.Attribute]) -> Require:
    single_use = draw(st.booleans())
    batch = draw(
        st.none() | st.builds(model.Batch, count=st.sampled_from([2, 3]), within_seconds=st.sampled_from([30, 60]))
    )
    # A list of free texts cannot be shown.
    shown = [name for name, declared in attributes.items() if getattr(declared, "values", ()) is not None]
    display = draw(st.sampled_from([None, None, "Do it", *(f"Do {{{name}}}" for name in shown)]))
    bind = draw(st.lists(st.sampled_from(BINDINGS), unique=True))
    return Require(
        level=draw(st.sampled_from(sorted(levels))),
        max_age_seconds=draw(st.sampled_from(MAX_AGES_SECONDS)),
        bind=tuple(binding for binding in BINDINGS if binding in bind),
        single_use=single_use,
        batch=None if single_use else batch,
        display=display,
    )


@st.composite
def rules(draw: st.DrawFn, levels: dict[str, model.Level], attributes: dict[str, model.Attribute]) -> Rule:
    effects = st.one_of(st.just(model.Allow()), requires(levels, attributes), st.just(model.Deny()))
    return Rule(
        trigger=None,
        actions=tuple(sorted(draw(st.sets(st.sampled_from(ACTIONS), min_size=1, max_size=2)))),
        when=draw(st.none() | conditions(attributes)),
        then=draw(effects),
    )


@st.composite
def documents(draw: st.DrawFn, names: list[str]) -> Document:
    """Return a small policy that may look at these attributes."""
    declared = draw(st.lists(st.sampled_from(names), unique=True, min_size=max(1, len(names) - 1)))
    attributes = {name: draw(st.sampled_from(DECLARATIONS[name])) for name in sorted(declared)}
    levels = draw(st.sampled_from(LEVELS))
    made = draw(st.lists(rules(levels, attributes), min_size=1, max_size=4))
    return Document(
        keyrung="policy/v1",
        attributes=attributes,
        levels=levels,
        rules={f"r{at}": rule for at, rule in enumerate(made)},
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[PolicySet, PolicySet, list[str]]:
    """Return two versions of a policy and the attributes that either may look at."""
    names = sorted(draw(st.lists(st.sampled_from(sorted(DECLARATIONS)), unique=True, min_size=1, max_size=2)))
    base = draw(documents(names))
    others = st.one_of(st.tuples(st.just(base), documents(names)), st.tuples(st.just(base), _edited(base)))
    base, head = draw(st.one_of(others, _nudged(base)))
    return policy_set(base), policy_set(head), names


@st.composite
def _edited(draw: st.DrawFn, base: Document) -> Document:
    """Return a document that differs in one rule, or only in the names of its rules."""
    kept = dict(base.rules)
    edit = draw(st.sampled_from(["replace", "add", "drop", "rename"]))
    if edit == "rename":
        kept = {f"x{rule_id}": rule for rule_id, rule in kept.items()}
    elif edit == "drop" and len(kept) > 1:
        del kept[draw(st.sampled_from(sorted(kept)))]
    else:
        name = "added" if edit == "add" else draw(st.sampled_from(sorted(kept)))
        kept[name] = draw(rules(base.levels, base.attributes))
    return msgspec.structs.replace(base, rules=kept)


@st.composite
def _nudged(draw: st.DrawFn, document: Document) -> tuple[Document, Document]:
    """Return two documents that differ in one field of one requirement.

    Two requirements drawn apart differ in several respects at once, and one of them can hide that another is missed.
    """
    name = draw(st.sampled_from(sorted(document.rules)))
    nudges = _neighbours(draw(requires(document.levels, document.attributes)), document.levels)
    before, after = draw(st.permutations(draw(st.sampled_from(nudges))))

    def requiring(then: Require) -> Document:
        rule = msgspec.structs.replace(document.rules[name], then=then)
        return msgspec.structs.replace(document, rules={**document.rules, name: rule})

    return requiring(before), requiring(after)


def _neighbours(require: Require, levels: dict[str, model.Level]) -> list[tuple[Require, Require]]:
    """Return pairs that differ in one field, which in `bind` and `batch` is one member."""
    replace = msgspec.structs.replace
    batched = replace(require, single_use=False, batch=model.Batch(count=2, within_seconds=30))
    other_age = next(age for age in MAX_AGES_SECONDS if age != require.max_age_seconds)
    binds = [tuple(one for one in BINDINGS if (one in require.bind) != (one == changed)) for changed in BINDINGS]
    return [
        *((require, replace(require, bind=bind)) for bind in binds),
        *((require, replace(require, level=level)) for level in sorted(levels) if level != require.level),
        (require, replace(require, max_age_seconds=other_age)),
        (require, replace(require, single_use=not require.single_use, batch=None)),
        (batched, replace(batched, batch=None)),
        (batched, replace(batched, batch=model.Batch(count=3, within_seconds=30))),
        (batched, replace(batched, batch=model.Batch(count=2, within_seconds=60))),
    ]


def requests(action: str, names: list[str]) -> Iterator[tuple[Request, datetime]]:
    """Yield every request of the domain for an action."""
    for values in product(*(VALUES[name] for name in names), MINUTES):
        attributes = {name: value for name, value in zip(names, values, strict=False) if value is not MISSING}
        minute = values[-1]
        assert isinstance(minute, int)
        moment = datetime(2026, 1, 1, minute // 60, minute % 60, tzinfo=UTC)
        yield Request(action=action, attributes=attributes), moment  # type: ignore[arg-type] # wrong types are the point
