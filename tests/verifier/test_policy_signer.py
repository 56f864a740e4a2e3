"""The word of the key inventory on who signed the policy: it counts from the next request on, not from the next start.

What a compromised key signed fails at once (SP 800-57 part 1, sections 7 and 8.3).
"""

from support.verifier import World, bundle_bytes

from keyrung_verifier.policy_source import RETRY_SECONDS


def _gone(_key_id: str) -> bool:
    raise OSError("the disk is gone")


def test_the_policy_in_force_ends_with_the_request_after_its_signer_was_compromised(world: World) -> None:
    assert world.evaluate("accounts.read").status == 200
    world.signer_counts = lambda _key_id: False
    for _ in range(3):
        assert world.evaluate("accounts.read").status == 503
    assert [entry["reason"] for entry in world.records("policy.refused")] == ["signer-disowned"]


def test_a_bundle_whose_signer_is_compromised_is_not_loaded_either(world: World) -> None:
    world.signer_counts = lambda _key_id: False
    world.bundle_path.write_bytes(bundle_bytes(version=2))
    assert world.evaluate("accounts.read").status == 503
    assert world.records("policy.loaded") == []


def test_a_signer_that_becomes_known_is_taken_without_a_restart(world: World) -> None:
    world.signer_counts = lambda _key_id: False
    assert world.evaluate("accounts.read").status == 503
    world.signer_counts = lambda _key_id: True
    world.clock.advance(RETRY_SECONDS)
    assert world.evaluate("accounts.read").status == 200


def test_an_inventory_that_cannot_be_asked_refuses_and_a_later_answer_allows(world: World) -> None:
    assert world.evaluate("accounts.read").status == 200
    world.signer_counts = _gone
    assert world.evaluate("accounts.read").status == 503
    world.signer_counts = lambda _key_id: True
    assert world.evaluate("accounts.read").status == 200
