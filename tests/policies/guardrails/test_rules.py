"""The production rules, each over resources that pass and resources that don't."""

import json
from typing import Any

import pytest

from keyrung_guardrails.audit_store import AUDIT_TRAIL, LOCK, Resource, archives_are_locked
from keyrung_guardrails.key_policies import names_its_principals
from keyrung_guardrails.keys import has_an_age, kek_survives_its_store, not_in_software, signing_stays_inside

ESCROW = {"threshold": 2, "custodians": ["a", "b", "c"], "folder": "escrow"}


@pytest.mark.parametrize("vault", ["pkcs11:token=keyrung", "transit:mount=keyrung", "awskms:region=eu-central-1"])
def test_a_key_in_a_key_store_passes(vault: str) -> None:
    assert list(not_in_software({"vault": vault})) == []


def test_a_key_in_a_file_is_refused() -> None:
    assert len(list(not_in_software({"vault": "software:folder=keys"}))) == 1


@pytest.mark.parametrize("purpose", ["assertion-signing", "policy-signing", "audit-signing"])
@pytest.mark.parametrize("leaves", [{"escrow": ESCROW}, {"copyTo": "awskms:region=eu-central-1;alias=copy"}])
def test_a_signing_key_that_leaves_its_store_is_refused(purpose: str, leaves: dict[str, Any]) -> None:
    assert len(list(signing_stays_inside({"purpose": purpose} | leaves))) == 1


def test_a_signing_key_that_stays_and_a_kek_that_is_escrowed_pass() -> None:
    assert list(signing_stays_inside({"purpose": "policy-signing", "escrow": None, "copyTo": None})) == []
    assert list(signing_stays_inside({"purpose": "kek", "escrow": ESCROW})) == []


def test_a_key_without_a_declared_age_is_refused() -> None:
    assert len(list(has_an_age({"cryptoperiodDays": None}))) == 1
    assert list(has_an_age({"cryptoperiodDays": 365})) == []


def test_a_kek_without_escrow_is_refused() -> None:
    assert len(list(kek_survives_its_store({"purpose": "kek", "escrow": None}))) == 1
    assert list(kek_survives_its_store({"purpose": "kek", "escrow": ESCROW})) == []
    assert list(kek_survives_its_store({"purpose": "credential-seed"})) == []


def _policy(**statement: Any) -> dict[str, Any]:
    return {
        "policy": json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*"} | statement]})
    }


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": ["arn:aws:iam::111122223333:root", "*"]}},
        {"Principal": {"Service": "*"}},
        {"Principal": {"AWS": "*"}, "Condition": {"StringEquals": {"kms:CallerAccount": "111122223333"}}},
        {"NotPrincipal": {"AWS": "arn:aws:iam::111122223333:root"}},
    ],
)
def test_a_key_policy_that_allows_everybody_is_refused(statement: dict[str, Any]) -> None:
    assert len(list(names_its_principals(_policy(**statement)))) == 1


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": {"AWS": "arn:aws:iam::111122223333:root"}},
        {"Principal": {"Service": "logs.eu-central-1.amazonaws.com"}},
        {"Effect": "Deny", "Principal": "*"},
    ],
)
def test_a_key_policy_that_names_whom_it_allows_passes(statement: dict[str, Any]) -> None:
    assert list(names_its_principals(_policy(**statement))) == []


def test_a_lone_statement_counts_like_a_list_and_is_named_by_its_sid() -> None:
    lone = {
        "policy": json.dumps({"Statement": {"Effect": "Allow", "Sid": "Open", "Principal": "*", "Action": "kms:*"}})
    }

    assert ["Open" in message for message in names_its_principals(lone)] == [True]


def test_a_key_without_a_policy_passes() -> None:
    assert list(names_its_principals({"policy": None})) == []


TRAIL = Resource(urn="trail", parent_urn="stack", type=AUDIT_TRAIL, props={})


def _lock(parent: str, **retention: Any) -> Resource:
    return Resource(urn="lock", parent_urn=parent, type=LOCK, props={"rule": {"defaultRetention": retention}})


def test_an_archive_with_a_retention_that_nobody_shortens_passes() -> None:
    assert list(archives_are_locked([TRAIL, _lock("trail", mode="COMPLIANCE", days=365)])) == []
    assert list(archives_are_locked([_lock("trail", mode="COMPLIANCE", years=1), TRAIL])) == []


@pytest.mark.parametrize(
    "others",
    [
        [],
        [_lock("trail")],
        [_lock("trail", mode="COMPLIANCE", days=0)],
        [_lock("trail", mode="GOVERNANCE", days=365)],
        [_lock("another trail", mode="COMPLIANCE", days=365)],
        [Resource(urn="lock", parent_urn="trail", type=LOCK, props={"rule": None})],
    ],
)
def test_an_archive_that_can_be_changed_is_refused(others: list[Resource]) -> None:
    assert [urn for _, urn in archives_are_locked([TRAIL, *others])] == ["trail"]


def test_a_stack_without_an_audit_trail_has_no_archive_to_lock() -> None:
    assert list(archives_are_locked([])) == []
