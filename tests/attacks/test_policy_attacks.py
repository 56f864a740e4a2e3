"""What somebody may try with the policy bundle: remove it, replace it, put an old one back."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support.verifier import SettableClock, UnsafeTestKey, World, bundle_bytes, catalog_texts


@pytest.mark.parametrize("fault", ["missing", "corrupt", "older", "expired", "foreign", "early"])
def test_a_policy_that_is_refused_leaves_the_last_good_one_within_its_life(world: World, fault: str) -> None:
    world.bundle_path.write_bytes(bundle_bytes(version=5))
    assert world.evaluate("accounts.read").status == 200
    start = world.clock.now()
    faulty: dict[str, Callable[[], bytes]] = {
        "corrupt": lambda: b"{}",
        "older": lambda: bundle_bytes(version=4),
        "expired": lambda: bundle_bytes(version=6, expires_at=start),
        "foreign": lambda: bundle_bytes(version=6, key=UnsafeTestKey("mallory")),
        "early": lambda: bundle_bytes(
            version=6, not_before=start.replace(year=2027), expires_at=start.replace(year=2028)
        ),
    }
    if fault == "missing":
        world.bundle_path.unlink()
    else:
        world.bundle_path.write_bytes(faulty[fault]())

    assert [world.evaluate("accounts.read").status for _ in range(3)] == [200] * 3
    assert len(world.records("policy.refused")) == 1
    world.clock.advance(31 * 86400)
    late = world.evaluate("accounts.read")
    assert late.status == 503
    assert world.last_reason("access.evaluated") == "policy_expired"


def test_without_any_policy_everything_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bundle_path.write_bytes(b"")

    assert world.evaluate("accounts.read").status == 503
    assert world.challenge().status == 503
    assert world.http("GET", "/healthz").status == 503
    world.close()


def test_an_older_policy_is_refused_after_a_restart_too(world: World) -> None:
    world.bundle_path.write_bytes(bundle_bytes(version=5))
    world.evaluate("accounts.read")
    world.bundle_path.write_bytes(bundle_bytes(version=4))
    again = World(world.folder, clock=SettableClock())

    assert again.evaluate("accounts.read").status == 503
    assert again.records("policy.refused")[-1]["reason"] == "rollback"
    again.close()


def test_one_version_with_two_contents_is_refused(world: World) -> None:
    world.evaluate("accounts.read")
    texts = {name: text.replace(b"max_age: 5m", b"max_age: 4m") for name, text in catalog_texts().items()}
    world.bundle_path.write_bytes(bundle_bytes(version=1, texts=texts))

    assert world.evaluate("accounts.read").status == 200
    assert world.records("policy.refused")[-1]["reason"] == "rollback"


def test_a_policy_whose_life_begins_later_comes_into_force_then(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bundle_path.write_bytes(bundle_bytes(not_before=world.clock.now() + timedelta(seconds=60)))
    assert [world.evaluate("accounts.read").status for _ in range(3)] == [503] * 3
    world.clock.advance(60)

    assert world.evaluate("accounts.read").status == 200
    assert [record["reason"] for record in world.records("policy.refused")] == ["not-yet-valid"]
    world.close()
