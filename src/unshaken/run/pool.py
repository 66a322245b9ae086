"""`Pool`: processes that do units of a work, on this machine or on a Ray cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from unshaken.core.device import count_devices
from unshaken.core.errors import RunError
from unshaken.run.engine import Engine
from unshaken.run.process_pool import ProcessPool, Unit, Work
from unshaken.run.ray_pool import RayPool
from unshaken.store.run_dir import RunDir


class Pool(Protocol):
    """Processes, each of which has made the work anew. One that ends is replaced, and does its unit again."""

    def free(self) -> int:
        """The number of units that it takes now."""

    def begin(self, unit: Unit) -> None:
        """Begin with a unit."""

    def wait(self) -> list[Unit]:
        """The units that have been finished, after some seconds at most.

        Raises:
            UnshakenError: what a unit raised, or it ended its process several times.
        """


@contextmanager
def open_pool(
    engine: Engine, run: RunDir, remake: Callable[[], Work], *, device: str = "cpu",
    name_unit: Callable[[Unit], str] = str,
) -> Iterator[Pool]:  # fmt: skip
    """The processes of an engine, ended at the end.

    Args:
        engine: `local:N` or `ray`.
        run: where the work writes.
        remake: makes the work in each process.
        device: of the work. Under a kind such as `cuda` each process has a device to itself, if there are as many;
            under `cuda:1` all processes of this machine share that one.
        name_unit: names a unit in messages.

    Raises:
        RunError: other processes cannot see the directory.
    """
    if run.path.startswith("memory://"):
        raise RunError(f"{run}: other processes cannot see this memory; choose another --out or --engine local")
    if engine.kind == "ray":
        gpu = device.startswith(("cuda", "xpu"))
        with RayPool(run, remake, engine=engine, gpu=gpu, name_unit=name_unit) as on_ray:
            yield on_ray
    else:
        several = device not in ("cpu", "mps") and ":" not in device
        devices = [f"{device}:{place}" for place in range(count_devices(device))] if several else []
        with ProcessPool(run.path, remake, engine.processes, devices=devices, name_unit=name_unit) as processes:
            yield processes


def do_all(pool: Pool, units: Iterable[Unit], alive: Callable[[Unit | None], None]) -> None:
    """Do all units.

    Args:
        pool: that does them.
        units: in the order in which they begin.
        alive: called with each unit that was finished, and now and then with None.
    """
    waiting, running = deque(units), 0
    while waiting or running:
        while waiting and pool.free():
            pool.begin(waiting.popleft())
            running += 1
        for unit in pool.wait():
            running -= 1
            alive(unit)
        alive(None)
