"""A run of small shards that other processes can make anew, and one that ends its process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from unshaken.api.job import prepare_run
from unshaken.api.options import check_options
from unshaken.core.consent import require_named
from unshaken.core.errors import MissingExtra
from unshaken.run import Job, load_plan, process_pool
from unshaken.run.engine import Engine
from unshaken.run.process_pool import Worker
from unshaken.store.run_dir import RunDir

PLAN = [
    {"method": "gaussian_noise", "severities": [3]},
    {"method": "pgd", "params": {"steps": 3}, "eps": [0.03]},
]


def made(folder: str, data: str, shard_size: int = 16, kind: str = "local", *, stop: bool = False) -> Job:
    """A run.

    Args:
        folder: its directory.
        data: SPEC.
        shard_size: samples in a shard.
        kind: of executor; `shared` for several processes that work on one run.
        stop: whether a bad sample ends it.
    """
    options = check_options(device="cpu", save_examples=2, on_error="stop" if stop else "record")
    job = prepare_run(RunDir(folder), "demo", data, load_plan(PLAN), options, [], "custom")
    return replace(
        job,
        config=job.config.model_copy(update={"shard_size": shard_size}),
        engine=Engine("ray") if kind == "ray" else Engine(processes=2 if kind == "processes" else 1),
        shared=kind == "shared",
        remake=partial(made, folder, data, shard_size, kind, stop=stop),
    )


def made_to_die(folder: str, data: str, mark: str, times: int) -> Job:
    """The same, but for its process, which is killed the first times that it is made."""
    for place in (Path(f"{mark}-{n}") for n in range(times)):
        try:
            place.touch(exist_ok=False)
        except FileExistsError:
            continue
        os.write(2, b"memory is short\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return made(folder, data, kind="processes")


def noting_its_device(worker: Worker, pipe: Connection, count: int, device: str | None) -> None:
    """What a process of a pool does, but that it notes its device in the place of making it the current one."""
    os.environ["DEVICE_OF_PROCESS"] = str(device)
    process_pool._work(worker, pipe, count, None)


def telling_device() -> Callable[[tuple[str, bool]], None]:
    """A work whose units write down the device of their process; some end it first, the first time."""

    def tell(unit: tuple[str, bool]) -> None:
        file, deadly = Path(unit[0]), unit[1]
        if deadly and not file.exists():
            file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        file.write_text(os.environ["DEVICE_OF_PROCESS"], encoding="utf-8")

    return tell


def touching() -> Callable[[tuple[str, bool]], None]:
    """A work whose units write an empty file; after some of them the process ends by itself, a moment later."""

    def touch(unit: tuple[str, bool]) -> None:
        path, ends = unit
        Path(path).touch()
        if ends:
            threading.Timer(0.1, os._exit, (1,)).start()

    return touch


def lacking() -> Callable[[object], None]:
    """A work that needs a package which is not there."""

    def need(unit: object) -> None:
        raise MissingExtra("skimage", "explain", "lime")

    return need


def needing() -> Callable[[str], None]:
    """A work whose units run code that the user must have named."""
    return require_named


def made_to_end(folder: str, data: str, how: str) -> Job:
    """A run whose model's code ends its process: by `sys.exit(0)` or by `os._exit(0)`."""
    if how == "exit":
        sys.exit(0)
    os._exit(0)
