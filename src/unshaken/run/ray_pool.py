"""`RayPool`: the workers of a Ray cluster, which do units of a work."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from typing_extensions import override

from unshaken.core.consent import named_code, words
from unshaken.core.errors import RunError, RunWarning, UnshakenError
from unshaken.core.numbers import shorten
from unshaken.run.code_bundle import bundle_code, use_bundle
from unshaken.run.engine import RAY, Engine, load_ray
from unshaken.run.process_pool import MOST_DEATHS, SECONDS, Unit, Work, Worker
from unshaken.store.run_dir import RunDir

MOST_LOSSES = 10
"""Workers that may end over the same unit, those whose nodes have left the cluster among them."""
RESERVE = 1
"""Workers that wait for a place where all are taken: a cluster that grows on demand sees the demand."""
LOGS = "logs"
"""Folder of the run directory for what workers wrote to stderr."""
LOG_BYTES = 1_000_000
"""Of a worker's log that are kept: the last ones."""
RAYS_OWN = (b":job_id:", b":actor_name:", b":task_name:")
"""Lines that Ray writes into each log begin so."""
LOG_SECONDS = 10.0
"""That logs are waited for."""
LAST_LINES = 5
"""Of the log of a worker that ended which are shown."""


class Home(NamedTuple):
    """Where a worker runs.

    Args:
        node: its identity.
        host: its address.
        process: number of the process.
        log: file of the node that takes the worker's stderr; empty where it is not known.
    """

    node: str
    host: str
    process: int
    log: str


NO_HOME = Home("", "", 0, "")
"""Of a worker that has not started yet."""


@dataclass(slots=True, eq=False)
class _Actor:
    """A worker as the pool knows it."""

    handle: Any
    home: Home = NO_HOME

    @override
    def __str__(self) -> str:
        return f"on {self.home.host}, process {self.home.process}"


class RayPool:
    """See `Pool`. As many workers as the nodes have room for, also when nodes join and leave.

    The cluster is the one that `ray.init` finds: that of this process, of `RAY_ADDRESS`, or of this machine; otherwise
    one is started on this machine and stopped at the end. Unless it is that of this process, code that the user named
    is taken along to its nodes (`bundle_code`). Data and run directory must be seen by all nodes at the same paths.

    Args:
        run: where the work writes.
        remake: makes the work on each worker.
        engine: how many processors and GPUs a worker takes.
        gpu: whether each worker uses a GPU where the engine does not say.
        name_unit: names a unit in messages.
    """

    def __init__(
        self, run: RunDir, remake: Callable[[], Work], *, engine: Engine = RAY, gpu: bool = False,
        name_unit: Callable[[Unit], str] = str,
    ) -> None:  # fmt: skip
        self._run, self._remake, self._name_unit, self._ray = run, remake, name_unit, load_ray()
        self._needs = {"CPU": engine.cpus, "GPU": int(gpu) if engine.gpus is None else engine.gpus}
        self._own = not self._ray.is_initialized()
        self._queue = deque[Unit]()
        self._starting: dict[Any, _Actor] = {}
        self._idle: list[_Actor] = []
        self._busy: dict[Any, tuple[_Actor, Unit]] = {}
        self._lost = defaultdict[Unit, list[str]](list)  # nodes of the workers that ended over it
        self._failed_starts = 0
        self._room, self._counted = -1, -math.inf
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray prints its warnings to stdout
        if self._own:
            try:
                self._init()
            except BaseException:
                self._stack.close()
                raise
        self._kind = self._ray.remote(RayWorker).options(
            num_cpus=self._needs["CPU"], num_gpus=self._needs["GPU"], max_restarts=0, max_task_retries=0
        )
        return self

    def _init(self) -> None:
        with tempfile.TemporaryDirectory(prefix="unshaken-") as folder:
            bundle = bundle_code(named_code(), Path(folder))
            environment = {} if bundle is None else {"py_modules": [str(bundle)]}
            try:
                self._ray.init(log_to_driver=False, logging_level="error", runtime_env=environment)
            except Exception as error:  # Ray raises plain ones where a node does not start
                self._ray.shutdown()
                address, token = os.environ.get("RAY_ADDRESS"), os.environ.get("RAY_AUTH_MODE") == "token"
                asks = "" if token or not address else (
                    f"; if the cluster at RAY_ADDRESS={shorten(address)} asks for a token, set RAY_AUTH_MODE=token and "
                    "copy ~/.ray/auth_token of its head to this machine"
                )  # fmt: skip
                raise RunError(
                    f"{self._run}: Ray could not be started ({_brief(error)}){asks}; what is finished is kept: run the "
                    "same command with --resume"
                ) from None
        self._stack.callback(self._ray.shutdown)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            actors = [*self._starting.values(), *self._idle, *(actor for actor, _ in self._busy.values())]
            try:
                self._keep_logs(actors)
            finally:
                for actor in actors:
                    self._ray.kill(actor.handle)

    def free(self) -> int:
        """The number of units that it could begin now, or have waiting for a place."""
        return max(0, self._count_room() + RESERVE - len(self._queue) - len(self._busy))

    def _count_room(self) -> int:
        """Workers that all nodes together have room for, counted every few seconds."""
        if time.monotonic() - self._counted >= SECONDS:
            nodes = [node["Resources"] for node in self._alive().values()]
            needs = {name: need for name, need in self._needs.items() if need}
            room = sum(int(min(has.get(name, 0) / need for name, need in needs.items()) + 1e-6) for has in nodes)
            if not room and self._room:
                has = "; ".join(", ".join(f"{name} {n.get(name, 0):g}" for name in needs) for n in nodes) or "none"
                takes = ", ".join(f"{name} {need:g}" for name, need in needs.items())
                _warn(
                    f"{self._run}: no node of the Ray cluster has room for a worker, which takes {takes} (nodes have: "
                    f"{has}); waiting for one that has: stop, and choose another --engine, if none will come"
                )
            self._room, self._counted = room, time.monotonic()
        return self._room

    def _alive(self) -> dict[str, dict[str, Any]]:
        return {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}

    def begin(self, unit: Unit) -> None:
        """Give a unit to a worker, or to the first that is free."""
        self._queue.append(unit)
        self._assign()

    def _assign(self) -> None:
        while self._queue and self._idle:
            actor, unit = self._idle.pop(), self._queue.popleft()
            self._busy[actor.handle.run.remote(unit)] = actor, unit
        for _ in range(len(self._queue) - len(self._starting)):
            remake = self._ray.cloudpickle.dumps(self._remake)
            actor = _Actor(self._kind.remote(remake, os.getcwd(), sys.path, words()))
            self._starting[actor.handle.start.remote()] = actor

    def wait(self) -> list[Unit]:
        """The units that were finished.

        Raises:
            UnshakenError: what a worker raised.
            RunError: a unit ended several workers, or none starts.
        """
        futures, done = [*self._starting, *self._busy], list[Unit]()
        for future in self._ray.wait(futures, timeout=SECONDS)[0] if futures else ():
            if future in self._starting:
                self._fetch_home(future)
                continue
            actor, unit = self._busy.pop(future)
            try:
                self._ray.get(future)
            except self._ray.exceptions.RayTaskError as error:
                self._idle.append(actor)
                if isinstance(error.cause, UnshakenError):
                    raise error.cause from None
                raise
            except self._ray.exceptions.RayError as error:
                self._lose(actor, unit, error)
            else:
                self._idle.append(actor)
                done.append(unit)
        self._assign()
        return done

    def _fetch_home(self, future: Any) -> None:
        actor = self._starting.pop(future)
        try:
            actor.home = Home(*self._ray.get(future))
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor.handle)
            self._failed_starts += 1
            if self._failed_starts >= MOST_DEATHS:
                raise RunError(
                    f"{self._run}: {MOST_DEATHS} Ray workers in turn did not start ({_brief(error)}); each node needs "
                    "unshaken, installed as it is here"
                ) from None
        else:
            self._failed_starts = 0
            self._idle.append(actor)

    def _lose(self, actor: _Actor, unit: Unit, error: Exception) -> None:
        """Let a worker that ended go, and have its unit done again.

        Raises:
            RunError: the unit has ended too many; workers whose nodes have left the cluster say nothing of it.
        """
        lines = self._keep_logs([actor])
        peers = [one for one in self._idle if one.home.node == actor.home.node]  # gone too, if the node is
        self._idle = [one for one in self._idle if one not in peers]
        for one in (actor, *peers):
            self._ray.kill(one.handle)
        alive, lost = self._alive(), self._lost[unit]
        lost.append(actor.home.node)
        if isinstance(error, self._ray.exceptions.OutOfMemoryError) or "running low on memory" in str(error):
            why = "ended, for its node ran out of memory"
        elif actor.home.node not in alive:
            why = "lost with its node"
        else:
            why = "killed, crashed, or lost with its node"
        name, tail = self._name_unit(unit), f"; its last lines: {' | '.join(lines)}" if lines else ""
        if sum(node in alive for node in lost) >= MOST_DEATHS or len(lost) >= MOST_LOSSES:
            raise RunError(
                f"{self._run}: {len(lost)} workers ended over {name}, the last ({actor}) {why}{tail}; if memory runs "
                "out, let each worker take more of a node, as in --engine ray:cpus=2. What is finished is kept: run "
                "the same command with --resume"
            )
        _warn(f"{self._run}: a worker ({actor}) was {why}; {name} is computed again{tail}")
        self._queue.appendleft(unit)

    def _keep_logs(self, actors: Iterable[_Actor]) -> list[str]:
        """Write what workers have written to stderr into the run directory.

        Returns:
            The last lines of the last worker that wrote any.
        """
        by_node = defaultdict[str, list[Home]](list)
        for actor in actors:
            if actor.home.log:
                by_node[actor.home.node].append(actor.home)
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        read = {
            self._ray.remote(read_logs)
            .options(num_cpus=0, max_retries=0, scheduling_strategy=strategy(node, soft=False))
            .remote([home.log for home in homes]): homes
            for node, homes in by_node.items()
        }
        lines: list[str] = []
        ready = self._ray.wait(list(read), num_returns=len(read), timeout=LOG_SECONDS)[0] if read else []
        for future in ready:
            with contextlib.suppress(self._ray.exceptions.RayError):  # the node is gone, and its files with it
                for home, log in zip(read[future], self._ray.get(future), strict=True):
                    own = [line for line in log.splitlines(keepends=True) if not line.startswith(RAYS_OWN)]
                    if text := b"".join(own).strip():
                        self._run.write(text + b"\n", LOGS, f"worker-{home.host.replace(':', '-')}-{home.process}.log")
                        lines = text.decode(errors="replace").splitlines()[-LAST_LINES:]
        return lines


class RayWorker(Worker):
    """A worker in an actor's process; see `Worker`.

    Args:
        remake: makes the work, pickled, for its parts may be importable only with the code that Ray has brought.
        folder: that relative paths start from.
        path: where modules are found.
        words: see `Worker`.
    """

    def __init__(self, remake: bytes, folder: str, path: list[str], words: tuple[str, ...] | None) -> None:
        super().__init__(lambda: load_ray().cloudpickle.loads(remake)(), folder, path, words)
        use_bundle(folder)

    def start(self) -> Home:
        """Take as many threads as processors, and say where this worker runs."""
        ray, log = load_ray(), os.path.realpath("/proc/self/fd/2")
        context, host = ray.get_runtime_context(), ray.util.get_node_ip_address()
        torch.set_num_threads(max(1, int(context.get_assigned_resources().get("CPU", 1))))
        return Home(context.get_node_id(), host, os.getpid(), log if os.path.isfile(log) else "")


def read_logs(paths: list[str]) -> list[bytes]:
    """The ends of some files; empty of those that are not there."""
    ends = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                file.seek(max(0, os.path.getsize(path) - LOG_BYTES))
                ends.append(file.read())
        except OSError:
            ends.append(b"")
    return ends


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _warn(message: str) -> None:
    warnings.warn(message, RunWarning, stacklevel=3)
