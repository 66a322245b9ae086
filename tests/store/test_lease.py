"""One holder at a time, whatever the order in which processes read and write; a dead holder's lease is taken over."""

from __future__ import annotations

import hashlib
import random
import threading
import time

import pytest

from unshaken.store import lease as lease_module
from unshaken.store.lease import LeaseLost, read_file, take
from unshaken.store.owner import STALE_SECONDS, make_stamp, read_stamp
from unshaken.store.run_dir import RunDir


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["local", "memory"])
def run(request, tmp_path):
    return RunDir(tmp_path / "run") if request.param == "local" else RunDir(f"memory://lease-{tmp_path.name}/run")


def test_it_is_held_by_one_and_given_back(run):
    clock = Clock()
    lease = take(run, "shard-1", clock=clock)
    assert lease is not None
    assert take(run, "shard-1", clock=clock) is None
    assert take(run, "shard-2", clock=clock) is not None
    lease.release()
    assert run.names() == ["shard-2"]
    assert take(run, "shard-1", clock=clock) is not None


def test_one_that_is_renewed_is_not_taken_over(run):
    clock = Clock()
    lease = take(run, "a", clock=clock)
    for _ in range(20):
        clock.now += STALE_SECONDS / 4
        lease.renew()
        assert take(run, "a", clock=clock) is None


def test_a_held_lease_is_renewed_while_its_holder_works(run, monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.01)
    lease = take(run, "a")
    lease.keep()
    first = read_stamp(read_file(run, ("a",)))["time"]
    deadline = time.monotonic() + 20
    while read_stamp(read_file(run, ("a",)))["time"] == first:
        assert time.monotonic() < deadline, "nobody renews it"
        time.sleep(0.01)
    lease.release()
    time.sleep(0.1)  # a thread that still renewed it would write it again
    assert run.names() == []


def test_one_of_a_dead_holder_is_taken_over_and_the_holder_notices(run):
    clock = Clock()
    old = take(run, "a", clock=clock)
    clock.now += STALE_SECONDS
    new = take(run, "a", clock=clock)
    assert new is not None
    assert run.names() == ["a"]
    with pytest.raises(LeaseLost, match="held up for 600 seconds"):
        old.renew()
    old.release()  # it is not the old holder's to give back
    assert read_stamp(read_file(run, ("a",)))["token"] == new.token


def test_a_damaged_stamp_and_a_broken_take_over_do_not_block_for_ever(run):
    clock = Clock()
    run.write(b"\x00 no JSON", "a")
    assert take(run, "a", clock=clock) is not None
    clock.now += STALE_SECONDS
    over = f"a.{hashlib.sha256(run.read('a')).hexdigest()[:32]}"
    run.write(make_stamp("of a process that ended there", clock()), over)
    assert take(run, "a", clock=clock) is None  # the file of its take-over goes
    assert take(run, "a", clock=clock) is not None
    assert run.names() == ["a"]


class Turns:
    """A directory on which several threads act one at a time, in an order that a seed decides."""

    def __init__(self, run: RunDir, seed: int, threads: int) -> None:
        self.run, self.rng = run, random.Random(seed)
        self.baton = threading.Condition()
        self.waiting: set[int] = set()
        self.alive, self.turn = set(range(threads)), None

    def step(self, who: int) -> None:
        """Wait for a turn."""
        with self.baton:
            self.waiting.add(who)
            self._next()
            self.baton.wait_for(lambda: self.turn == who)
            self.waiting.discard(who)
            self.turn = None

    def end(self, who: int) -> None:
        """A thread has ended."""
        with self.baton:
            self.alive.discard(who)
            self._next()

    def _next(self) -> None:
        if self.turn is None and self.waiting and self.waiting == self.alive:
            self.turn = self.rng.choice(sorted(self.waiting))
            self.baton.notify_all()


class Turned:
    """The directory as one thread sees it: before each act it waits for its turn."""

    def __init__(self, turns: Turns, who: int) -> None:
        self._turns, self._who = turns, who

    def __getattr__(self, name):
        act = getattr(self._turns.run, name)

        def turned(*args, **kwargs):
            self._turns.step(self._who)
            return act(*args, **kwargs)

        return turned


@pytest.mark.parametrize("stale", [False, True])
def test_of_three_at_once_one_gets_it_in_every_order(tmp_path, stale):
    winners = set()
    for seed in range(60):
        run, clock = RunDir(f"memory://turns-{tmp_path.name}-{stale}-{seed}/run"), Clock()
        if stale:
            take(run, "a", clock=clock)
            clock.now += STALE_SECONDS
        turns, got = Turns(run, seed, 3), dict[int, object]()

        def act(who, turns=turns, got=got, clock=clock):
            try:
                got[who] = take(Turned(turns, who), "a", clock=clock)
            finally:
                turns.end(who)

        threads = [threading.Thread(target=act, args=(who,)) for who in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        holders = [who for who, lease in got.items() if lease is not None]
        assert len(got) == 3
        assert len(holders) == 1, seed
        winners.update(holders)
    assert winners == {0, 1, 2}
