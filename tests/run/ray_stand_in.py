"""A stand-in for Ray: actors on nodes that join and leave when a test says so, without processes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """As `ray.exceptions.RayError`."""


class RayTaskError(RayError):
    """Of what an actor raised, `cause`."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class OutOfMemoryError(RayError):
    """Of an actor whose node ran out of memory."""


class Future:
    """A result; `outcome` is None until there is one."""

    def __init__(self, actor: Actor | None, unit: Any = None) -> None:
        self.actor, self.unit = actor, unit
        self.outcome: Any = None


class Actor:
    """An actor, with a node as soon as there is room."""

    def __init__(self, ray: RayStandIn, arguments: tuple[Any, ...]) -> None:
        self.ray, self.arguments, self.node, self.killed = ray, arguments, None, False
        self.start = SimpleNamespace(remote=lambda: Future(self))
        self.run = SimpleNamespace(remote=lambda unit: Future(self, unit))


class RayStandIn:
    """What `RayPool` uses of Ray.

    Args:
        work: called with the name of the node and the unit; returns None, or raises what the unit's end raises. It may
            change `cpus`.
        cpus: processors of each node, by its name.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError, OutOfMemoryError=OutOfMemoryError)
    cloudpickle = SimpleNamespace(dumps=lambda thing: thing)
    util = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
    )

    def __init__(self, work: Callable[[str, Any], None], **cpus: float) -> None:
        self.work, self.cpus = work, dict(cpus)
        self.actors: list[Actor] = []
        self.log, self.asked = b"", dict[str, float]()

    def is_initialized(self) -> bool:
        """Always: the cluster is the test's."""
        return True

    def nodes(self) -> list[dict[str, Any]]:
        """All that are there."""
        return [{"NodeID": name, "Alive": True, "Resources": {"CPU": n}} for name, n in self.cpus.items()]

    def remote(self, thing: Any) -> Any:
        """Make an actor's class, or a function that reads logs."""
        return SimpleNamespace(options=lambda **options: self._kind(thing, options))

    def _kind(self, thing: Any, options: dict[str, Any]) -> Any:
        if isinstance(thing, type):
            self.asked = options

            def make(*arguments: Any) -> Actor:
                self.actors.append(Actor(self, arguments))
                return self.actors[-1]

            return SimpleNamespace(remote=make)

        def read(paths: list[str]) -> Future:
            future = Future(None)
            there = options["scheduling_strategy"] in self.cpus
            future.outcome = [self.log] * len(paths) if there else RayError("the node is gone")
            return future

        return SimpleNamespace(remote=read)

    def kill(self, actor: Actor) -> None:
        """End an actor."""
        actor.killed = True

    def wait(self, futures: list[Future], num_returns: int = 1, timeout: float = 0) -> tuple[list[Future], list[None]]:
        """The first futures that have a result; actors without a node get one where there is room."""
        for actor in self.actors:
            taken = [a.node for a in self.actors if a.node and not a.killed]
            free = (n for n, cpus in self.cpus.items() if cpus - taken.count(n) * self.asked["num_cpus"] >= 1)
            if actor.node is None and not actor.killed:
                actor.node = next(free, None)
        for future in futures:
            if future.outcome is None and future.actor is not None and future.actor.node is not None:
                self._end(future)
                break
        return [f for f in futures if f.outcome is not None][:num_returns], []

    def _end(self, future: Future) -> None:
        actor, node = future.actor, future.actor.node
        future.outcome = (node, f"host-{node}", self.actors.index(actor), "/log")
        if future.unit is not None:
            try:
                self.work(node, future.unit)
            except RayError as error:
                future.outcome = error
        if node not in self.cpus:
            future.outcome = RayError("unavailable: connection refused")

    def get(self, future: Future) -> Any:
        """A result, which may be raised."""
        if isinstance(future.outcome, Exception):
            raise future.outcome
        return future.outcome


def drained(pool: Any, units: list[Any], seen: Callable[[], None] = lambda: None) -> list[Any]:
    """Do units by a pool; those that were finished, in their order."""
    waiting, done, rounds = list(units), [], 0
    while len(done) < len(units):
        while waiting and pool.free():
            pool.begin(waiting.pop(0))
        seen()
        done += pool.wait()
        rounds += 1
        assert rounds < 20 * len(units), "the pool stands still"
    return done
