"""Maps made by several processes of this machine, or by the workers of a Ray cluster."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from unshaken.api.explain_inputs import ExplainInputs, Request, load
from unshaken.api.explain_maps import MapsOf, MapWork
from unshaken.core.errors import RunError
from unshaken.core.progress import track
from unshaken.run.engine import read_engine
from unshaken.run.pool import do_all, open_pool
from unshaken.run.worker import Unit, Work
from unshaken.store.lock import Lock
from unshaken.store.run_dir import RunDir


def map_work(run: RunDir, request: Request, loaded: ExplainInputs) -> MapWork | None:
    """What the maps of a request share; None where it asks for none.

    Args:
        run: its directory.
        request: what was asked.
        loaded: models and samples.
    """
    if not request.maps or loaded.inputs is None:
        return None
    kept = request.options["save_examples"]
    return MapWork(run, loaded.inputs, loaded.subject, request.metrics, loaded.truth, request.explained, kept)


def make_maps(work: MapWork, request: Request, settings: dict[str, Any], lock: Lock) -> None:
    """Let the processes of an engine make all maps that are not there yet.

    Args:
        work: that each process makes anew.
        request: what was asked; its engine is not this process.
        settings: what decides the rows.
        lock: renewed now and then.

    Raises:
        UnshakenError: what a process raised.
    """
    work.check()
    maps = [MapsOf(name, method) for name, method in request.maps.items()]
    left = [(one.name, shard) for shard in range(work.shards) for one in maps if not work.is_whole(one, shard)]
    done = sum(work.samples(shard) for shard in range(work.shards)) * len(maps)
    engine, remake = read_engine(request.options["engine"]), partial(shards_of, work.run, request, settings)
    if not left:
        return
    with (
        track(f"explain on {engine}", done) as task,
        open_pool(engine, work.run, remake, device=work.inputs.device) as pool,
    ):
        task.advance(done - sum(work.samples(shard) for _, shard in left))

        def finished(unit: Unit | None) -> None:
            lock.renew()
            if isinstance(unit, tuple):
                task.advance(work.samples(unit[1]), note=unit[0])

        do_all(pool, left, finished)


def shards_of(run: RunDir, request: Request, settings: dict[str, Any]) -> Work:
    """A request made anew in another process: a function that makes the maps of one method and shard.

    Args:
        run: its directory.
        request: what was asked.
        settings: what decides the rows, as the first process found it.

    Raises:
        RunError: they are others here, such as where the data has changed.
    """
    request = replace(request, maps=dict(request.maps))
    loaded = load(request)
    here = loaded.settings(request)
    if names := [name for name in settings if settings[name] != here[name]]:
        raise RunError(f"{run}: a process finds other settings ({', '.join(names)} differ); start a new run")
    work = map_work(run, request, loaded)

    def make(unit: Unit) -> None:
        if work is None or not isinstance(unit, tuple):
            raise RunError(f"{run}: {unit!r} is no shard of maps")
        name, shard = unit
        work.run_shard(MapsOf(name, request.maps[name]), shard)

    return make
