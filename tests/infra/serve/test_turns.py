"""Turns of the threads that answer requests: one works, who waits steps aside, and nobody is ever held up by a turn."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from keyrung_infra.serve.turns import Turns

_LONG_SECONDS = 30.0


def test_one_thread_works_at_a_time() -> None:
    turns, at_work, most = Turns(patience_seconds=_LONG_SECONDS), 0, 0

    def work(_number: int) -> None:
        nonlocal at_work, most
        with turns.taken():
            at_work += 1
            most = max(most, at_work)
            time.sleep(0.001)
            at_work -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(40)))
    assert most == 1


def test_who_steps_aside_lets_another_work_and_then_waits_for_a_turn() -> None:
    turns, inside, over = Turns(patience_seconds=_LONG_SECONDS), threading.Event(), threading.Event()
    seen: list[str] = []

    def other() -> None:
        with turns.taken():
            inside.set()
            over.wait(_LONG_SECONDS)
            seen.append("other")

    with ThreadPoolExecutor(1) as threads, turns.taken():
        with turns.aside():
            done = threads.submit(other)
            assert inside.wait(_LONG_SECONDS)
            threading.Timer(0.05, over.set).start()
        seen.append("this")
        done.result()
    assert seen == ["other", "this"]


def test_a_turn_ends_with_what_failed_in_it_and_so_does_stepping_aside() -> None:
    turns = Turns(patience_seconds=_LONG_SECONDS)
    with pytest.raises(ValueError, match="inner"), turns.taken(), turns.aside():
        raise ValueError("inner")
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(_worked, turns).result(_LONG_SECONDS)


def test_whoever_has_no_turn_steps_aside_without_taking_one() -> None:
    turns = Turns(patience_seconds=_LONG_SECONDS)
    with ThreadPoolExecutor(1) as threads, turns.aside():
        assert threads.submit(_worked, turns).result(_LONG_SECONDS)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(_worked, turns).result(_LONG_SECONDS)


def test_a_thread_that_waits_in_its_turn_for_one_without_a_turn_holds_up_nobody_for_long() -> None:
    turns, lock = Turns(patience_seconds=0.05), threading.Lock()
    reached = threading.Event()

    def waits_for_the_lock() -> bool:
        with turns.taken():
            reached.set()
            with lock:
                return True

    with ThreadPoolExecutor(1) as threads, turns.taken(), lock:
        with turns.aside():
            done = threads.submit(waits_for_the_lock)
            assert reached.wait(_LONG_SECONDS)
        # The other thread has the turn and waits for the lock that this one holds.
        assert not done.done()
    assert done.result(_LONG_SECONDS)
    assert _worked(turns)


def _worked(turns: Turns) -> bool:
    with turns.taken():
        return True
