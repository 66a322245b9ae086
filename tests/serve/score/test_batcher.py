"""Micro-batches: what runs together, what waits, what is refused and what is dropped."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.loops import run_apart
from unshaken.core.errors import UnshakenError
from unshaken.serve.score.batcher import Batcher, PastDeadline, QueueFull, Rate


class Gate:
    """A function to run that waits until it is opened, and keeps what it was given."""

    def __init__(self):
        self.began, self.opened, self.batches = threading.Event(), threading.Event(), []

    def __call__(self, works):
        self.began.set()
        assert self.opened.wait(10)
        self.batches.append(list(works))
        if "poison" in works:
            raise ValueError("poison")
        return [work.upper() for work in works]


def run(scenario, **options):
    """Play a scenario with a batcher and its gate."""

    async def played():
        gate = Gate()
        batcher = Batcher(gate, **{"most": 4, "waiting": 100, **options})
        batcher.start()
        try:
            return await scenario(batcher, gate)
        finally:
            gate.opened.set()
            await asyncio.to_thread(batcher.close)

    return run_apart(asyncio.wait_for(played(), 20))


def ask(batcher, work, images=1, kind=None, seconds=10.0):
    deadline = batcher.clock() + seconds
    return asyncio.ensure_future(batcher.submit(work, images=images, passes=images, deadline=deadline, kind=kind))


async def busy(batcher, gate):
    """A first request that holds the thread until the gate is opened."""
    first = ask(batcher, "first")
    await asyncio.to_thread(gate.began.wait, 10)
    return first


def test_what_waits_while_the_thread_is_busy_runs_together_up_to_the_most():
    async def scenario(batcher, gate):
        asked = [await busy(batcher, gate), *(ask(batcher, work) for work in "abcdef")]
        await asyncio.sleep(0.01)
        gate.opened.set()
        return await asyncio.gather(*asked), gate.batches

    answers, batches = run(scenario)
    assert answers == ["FIRST", *"ABCDEF"]
    assert batches == [["first"], list("abcd"), list("ef")]


def test_a_large_request_runs_alone_and_a_small_one_fills_the_gap():
    async def scenario(batcher, gate):
        asked = [await busy(batcher, gate), ask(batcher, "a", 3), ask(batcher, "big", 9), ask(batcher, "b", 1)]
        await asyncio.sleep(0.01)
        gate.opened.set()
        await asyncio.gather(*asked)
        return gate.batches

    assert run(scenario) == [["first"], ["a", "b"], ["big"]]


def test_only_requests_of_one_kind_run_together():
    async def scenario(batcher, gate):
        asked = [await busy(batcher, gate), *(ask(batcher, name, kind=name[1]) for name in ("a1", "b2", "c1", "d2"))]
        await asyncio.sleep(0.01)
        gate.opened.set()
        await asyncio.gather(*asked)
        return gate.batches

    assert run(scenario) == [["first"], ["a1", "c1"], ["b2", "d2"]]


def test_a_cancelled_request_and_one_that_is_late_are_not_run():
    async def scenario(batcher, gate):
        first = await busy(batcher, gate)
        cancelled, late, kept = ask(batcher, "cancelled"), ask(batcher, "late", seconds=0.02), ask(batcher, "kept")
        await asyncio.sleep(0.01)
        cancelled.cancel()
        with pytest.raises(PastDeadline):
            await late
        gate.opened.set()
        await asyncio.gather(first, kept)
        return gate.batches

    assert run(scenario) == [["first"], ["kept"]]


def test_one_that_fails_does_not_spoil_its_neighbours():
    async def scenario(batcher, gate):
        asked = [await busy(batcher, gate), *(ask(batcher, work) for work in ("a", "poison", "b"))]
        await asyncio.sleep(0.01)
        gate.opened.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, a, poison, b = run(scenario)
    assert (first, a, b) == ("FIRST", "A", "B")
    assert isinstance(poison, ValueError)


def test_code_that_would_end_the_process_fails_its_request_and_no_other():
    async def scenario():
        def run(works):
            if "end" in works:
                raise SystemExit(0)
            return [work.upper() for work in works]

        batcher = Batcher(run, most=1, waiting=100)
        batcher.start()
        try:
            return await asyncio.gather(ask(batcher, "end"), ask(batcher, "a"), return_exceptions=True)
        finally:
            await asyncio.to_thread(batcher.close)

    ended, answered = run_apart(asyncio.wait_for(scenario(), 20))
    assert isinstance(ended, UnshakenError)
    assert answered == "A"


def test_beyond_the_room_a_request_is_told_when_to_come_again():
    batcher = Batcher(lambda works: works, most=4, waiting=10)
    batcher.rate.add(4, 2.0)  # two passes a second
    with batcher.admit(8):
        with pytest.raises(QueueFull) as full, batcher.admit(8):
            pass
        assert full.value.seconds == 3  # six passes too many
        with batcher.admit(2):
            assert batcher.is_full
    assert batcher.admitted == 0
    with batcher.admit(50):  # alone, whatever its size
        assert batcher.is_full


def test_what_would_come_too_late_is_not_admitted():
    batcher = Batcher(lambda works: works, most=4, waiting=100, clock=lambda: 50.0)
    batcher.rate.add(4, 2.0)
    with batcher.admit(8):  # four seconds of work
        with pytest.raises(QueueFull) as full, batcher.admit(1, deadline=53.9):
            pass
        assert full.value.seconds == 4
        with batcher.admit(1, deadline=54.1):
            pass


def test_the_rate_forgets():
    rate = Rate()
    assert (rate.per_second, rate.wait(10)) == (0.0, 1)
    for _ in range(200):
        rate.add(10, 1.0)
    for _ in range(60):
        rate.add(10, 0.1)
    assert 80 < rate.per_second <= 100
    assert rate.wait(10**9) == 3600


def test_after_the_end_nothing_runs_and_the_thread_is_gone():
    async def scenario(batcher, gate):
        first, waiting = await busy(batcher, gate), ask(batcher, "waiting", seconds=0.2)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.sleep(0.01)
        gate.opened.set()
        await closing
        assert await first == "FIRST"
        with pytest.raises(PastDeadline):
            await waiting
        return gate.batches, batcher.is_alive

    assert run(scenario) == ([["first"]], False)
