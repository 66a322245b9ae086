"""One shard of a run: a pure function of the run's configuration and the shard's number."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import BATCH_NUMBERS, Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.context import Context
from unshaken.core.errors import DataError
from unshaken.core.flag import Flag
from unshaken.core.meter import Meter
from unshaken.core.oracle import Oracle
from unshaken.core.part import CLEAN, Part
from unshaken.core.progress import Task as Progress
from unshaken.data import BadSample, Dataset, stream
from unshaken.data.resources import places_of, resources_of
from unshaken.run.adapters import rows_of
from unshaken.run.cost import condition_weights
from unshaken.run.engine import LOCAL, Engine
from unshaken.run.examples import choose, damage, quota
from unshaken.run.flags import check_borders
from unshaken.run.plan import Step, prepare
from unshaken.run.published import CorruptedFiles
from unshaken.store.config import RunConfig
from unshaken.store.journal import Journal
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import as_column
from unshaken.store.tables import empty_table, table_of
from unshaken.tasks.classification import CLASSIFICATION
from unshaken.tasks.task import Task

T = TypeVar("T")
Finished: TypeAlias = set[tuple[str, int]]
"""Conditions and shards whose rows are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run made ready to compute shards of.

    Args:
        run: where rows go.
        config: what decides them.
        model: in evaluation mode while shards run.
        dataset: where the samples come from.
        limit: images in one pass at most.
        strict_batch: raise instead of halving it when memory runs out.
        workers: threads that decode; None for the number of cores.
        stop_on_bad: raise on the first bad sample.
        search: a quicker copy of the model for searches; see `search_copy`.
        engine: which executor computes the shards.
        shared: whether other processes may work on the same run now: each shard is done under a lease.
        remake: makes the same job in another process; executors with other processes need it.
        inside: whether it belongs to another run on the same data, whose larger sample judges the unchanged images.
        task: what the model's outputs mean.
        whole: the job of which this one computes some samples again: methods inspect its first samples, and know its
            number of samples. None where it is whole itself.
    """

    run: RunDir
    config: RunConfig
    model: Classifier
    dataset: Dataset
    limit: int
    strict_batch: bool = False
    workers: int | None = None
    stop_on_bad: bool = False
    search: Classifier | None = None
    engine: Engine = LOCAL
    shared: bool = False
    remake: Callable[[], Job] | None = field(default=None, repr=False)
    inside: bool = False
    task: Task = CLASSIFICATION
    whole: Job | None = field(default=None, repr=False)
    _made: dict[Hashable, object] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.run.identify(self.config.identity)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` made at the first call with this key; it is kept as long as the job."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])

    def steps(self) -> list[Step]:
        """The plan's steps that can be made with this model and this data."""
        steps = self.once("steps", lambda: prepare(self.config.plan))
        return [s for s in steps if self.obstacle(s) is None]

    def weights(self) -> dict[str, float]:
        """The cost of each condition a sample, `clean` included; see `condition_weights`."""
        made = self.once("weights", lambda: condition_weights(self.steps(), len(self.config.classes)))
        return {CLEAN.id: 1.0, **made}

    def weight(self, step: Step) -> float:
        """The cost of a step a sample."""
        return sum(self.weights()[c.id] for c in step.conditions)

    def indices(self) -> NDArray[np.int64]:
        """Where each sample of the run stands in the data set, int64 `[N]`."""
        return self.once("indices", self._indices)

    def _indices(self) -> NDArray[np.int64]:
        ids = as_column(self.config.ids)
        if ids is self.dataset.ids or ids == self.dataset.ids:
            return np.arange(len(ids))
        places = self.dataset.ids.places(ids)
        if (places < 0).any():
            raise KeyError(ids[int(places.argmin())])
        return places

    def reference(self) -> Batch:
        """The run's first readable samples, for methods that inspect the model first: 32, fewer of very large images.

        Raises:
            DataError: none of the first 64 can be read.
        """
        return self.once("reference", self._first_samples) if self.whole is None else self.whole.reference()

    def _first_samples(self) -> Batch:
        found, numbers = list[Batch](), 0
        with closing(_items(self, slice(0, 64), 1)) as items:
            for item in items:
                if isinstance(item, Batch):
                    found.append(item)
                    numbers += item.images.numel()
                if len(found) == 32 or numbers >= BATCH_NUMBERS:
                    break
        if not found:
            raise DataError("none of the run's first 64 samples can be read: check --data")
        return Batch.concat(found).to(self.config.device)

    def finished(self) -> Finished:
        """All (condition, shard) with their rows and with the cost of these, which is written after them."""
        spent = self.run.finished("cost")
        label = {c.id: s.label for s in self.steps() for c in s.conditions}
        return {(c, shard) for c, shard in self.run.finished() if (label.get(c, c), shard) in spent}

    def finished_of(self, shard: int) -> Finished:
        """The conditions of one shard with their rows, as the directory is now; see `finished`."""
        label = {c.id: s.label for s in self.steps() for c in s.conditions}
        return {
            (c, shard)
            for c in self.weights()
            if self.run.has_rows("cost", label.get(c, c), shard) and self.run.has_rows("outcomes", c, shard)
        }

    def resources(self) -> dict[type[Any], Any]:
        """Resources of the data and of the run that methods may ask for, by type; see `Context`."""
        return self.once("resources", self._resources)

    def _resources(self) -> dict[type[Any], Any]:
        view, from_files = self.model.view, frozenset(self.config.from_files)
        files = CorruptedFiles(from_files, self.dataset, cache(partial(places_of, self.dataset)), view, self.workers)
        return {**resources_of(self.dataset, view, self.config.device), Task: self.task, CorruptedFiles: files}

    def obstacle(self, step: Step) -> str | None:
        """Why a step cannot be made, and what to do; None where it can."""
        method = type(step.method)
        if self.task.name not in (known := getattr(method, "tasks", (self.task.name,))):
            return f"the model is for {self.task.name}, and this method for {' and '.join(known)}"
        if lack := self.model.lacks(getattr(method, "needs", ())):
            return lack
        if self.dataset.labels is None and getattr(method, "needs_labels", False):
            return "the data has no labels: use data that says the true class of each image"
        return None


def run_shard(
    job: Job,
    shard: int,
    finished: Finished,
    progress: Progress | None = None,
    alive: Callable[[], None] = lambda: None,
) -> Meter:
    """Compute and write the rows of one shard that are not there yet.

    Args:
        job: the run.
        shard: from 0.
        finished: conditions and shards whose rows are there.
        progress: advanced for each sample by the weights of its conditions.
        alive: called now and then, to renew a lock.

    Returns:
        What was spent.

    Raises:
        DataError: a bad sample, when the job stops on these.
        RunError: rows cannot be written.
    """
    steps = job.steps()
    todo = [s for s in steps if any((c.id, shard) not in finished for c in s.conditions)]
    clean_done = (CLEAN.id, shard) in finished
    if progress is not None:
        done = sum(job.weight(s) for s in steps if s not in todo) + clean_done
        progress.advance(done * len(job.config.shard_ids(shard)))
    if clean_done and not todo:
        return Meter()
    began, config = time.perf_counter(), job.config
    batch, bad = _read(job, config.shard_slice(shard))
    oracle = Oracle(
        job.model,
        limit=job.limit,
        draws=config.eot,
        precision=config.precision,
        strict_batch=job.strict_batch,
        search_copy=job.search,
    )
    asked = job.model.asked
    with evaluating(job.model):
        logits = torch.zeros(0, 2) if batch is None else oracle.exact(batch.images)
        if not clean_done:
            if not steps and batch is not None and job.config.save_examples < 0:
                job.run.write_examples(batch.images, list(batch.ids), CLEAN.id, shard)
            _write_clean(job, shard, batch, bad, logits, oracle)
            write_cost(job.run, shard, CLEAN.id, oracle.meter, Meter(), time.perf_counter() - began)
            _write_sent(job, shard, CLEAN.id, asked)
            if progress is not None:
                progress.advance(len(job.config.shard_ids(shard)))
        clean = None if batch is None else outcomes_of(job.task.rows(CLEAN, batch, logits))
        context = Context(
            oracle,
            config.seed,
            logits,
            reference=job.reference,
            samples=len((job.whole or job).config.ids),
            journal=lambda condition: Journal(job.run, condition, shard, alive=alive),
            once=job.once,
            resources=job.resources(),
        )
        for step in todo:
            last = step is todo[-1]
            alive()
            began, before, asked = time.perf_counter(), _copy(oracle.meter), job.model.asked
            parts = [] if batch is None else rows_of(step.method, batch, step.conditions, context)
            _keep_pictures(job, shard, parts, clean, batch if last else None)
            _write_step(job, shard, step, parts)
            for condition in step.conditions:
                Journal(job.run, condition.id, shard).clear()
            write_cost(job.run, shard, step.label, oracle.meter, before, time.perf_counter() - began)
            _write_sent(job, shard, step.label, asked)
            if progress is not None:
                progress.advance(len(job.config.shard_ids(shard)) * job.weight(step), note=step.label)
    return oracle.meter


def _read(job: Job, part: slice) -> tuple[Batch | None, list[BadSample]]:
    """Some of the run's samples as one batch on the model's device, and those that cannot be used."""
    size = len(range(*part.indices(len(job.config.ids))))
    found = list(_items(job, part, max(1, size)))
    batches = [item for item in found if isinstance(item, Batch)]
    bad = [item for item in found if not isinstance(item, Batch)]
    return (Batch.concat(batches).to(job.config.device) if batches else None), bad


def _items(job: Job, part: slice, batch_size: int) -> Generator[Batch | BadSample, None, None]:
    """Some of the run's samples as batches, and those that cannot be used.

    Raises:
        DataError: a bad sample, when the job stops on these.
    """
    indices = job.indices()[part].tolist()
    for item in stream(job.dataset, indices, view=job.model.view, workers=job.workers, batch_size=batch_size):
        if job.stop_on_bad and not isinstance(item, Batch):
            raise DataError(f"sample {item}; drop --on-error stop to record it and go on")
        yield item


def _write_clean(
    job: Job, shard: int, batch: Batch | None, bad: list[BadSample], logits: Tensor, oracle: Oracle
) -> None:
    tables = []
    if batch is not None:
        for part in job.task.rows(CLEAN, batch, logits):
            if part.table == "outcomes":
                tables.append(table_of(part))
            else:
                job.run.write_rows(table_of(part), part.table, CLEAN.id, shard)
        if shard == 0:
            attacked = any("gradient" in getattr(s.method, "needs", ()) for s in job.steps())
            borders = list(check_borders(oracle, batch)) if attacked else []
            _write_flags(job, shard, "model", [*job.task.flags(oracle, batch, logits), *borders])
    if bad:
        part = Part("outcomes", CLEAN, {"id": [b.id for b in bad], "error": [b.reason for b in bad]})
        tables.append(table_of(part))
    job.run.write_rows(pa.concat_tables(tables) if tables else empty_table("outcomes"), "outcomes", CLEAN.id, shard)


def _write_step(job: Job, shard: int, step: Step, parts: list[Part]) -> None:
    """Flags, then the rows, outcomes last: outcomes that are there say that all is there."""
    _write_flags(job, shard, step.label, [f for p in parts for f in p.flags])
    empty = [Part("outcomes", c, {"id": []}) for c in step.conditions] if not parts else []
    for part in sorted(parts or empty, key=lambda p: p.table == "outcomes"):
        job.run.write_rows(table_of(part), part.table, part.condition.id, shard)


def outcomes_of(parts: Iterable[Part]) -> Part:
    """The one part of the table `outcomes`."""
    return next(part for part in parts if part.table == "outcomes")


def _keep_pictures(job: Job, shard: int, parts: list[Part], clean: Part | None, batch: Batch | None) -> None:
    """The pictures of a step; with `batch`, after a shard's last step, the clean images that belong to them all."""
    run, config = job.run, job.config
    wanted = quota(config.save_examples, config.shards) if config.save_examples >= 0 else -1
    for part in parts:
        if clean is not None and part.images is not None and wanted != 0:
            rows = choose(damage(part.columns, clean.columns), wanted)
            ids = [clean.columns["id"][i] for i in rows.tolist()]
            run.write_examples(part.images(rows), ids, part.condition.id, shard)
    if batch is not None and wanted != 0:
        conditions = [CLEAN.id, *(c.id for s in job.steps() for c in s.conditions)]
        kept = (
            set(batch.ids) if wanted < 0 else run.example_ids(shard, conditions)
        )  # those of an interrupted run included
        rows = torch.tensor([i for i, name in enumerate(batch.ids) if name in kept], dtype=torch.int64)
        if len(rows):
            run.write_examples(batch.images[rows], [batch.ids[i] for i in rows.tolist()], CLEAN.id, shard)


def _write_flags(job: Job, shard: int, label: str, flags: list[Flag]) -> None:
    if flags:
        write_flags(job.run, label, shard, flags)


def write_flags(run: RunDir, label: str, shard: int, flags: list[Flag]) -> None:
    """Write flags as rows, one a sample concerned, or one with a null id."""
    rows = [(f.name, f.detail, i, f.meaning, f.advice) for f in flags for i in (f.ids or (None,))]
    columns = {k: [r[j] for r in rows] for j, k in enumerate(("name", "detail", "id", "meaning", "advice"))}
    part = Part("flags", CLEAN, columns)
    run.write_rows(table_of(part), "flags", label, shard)


def write_cost(run: RunDir, shard: int, label: str, meter: Meter, before: Meter, wall: float) -> None:
    """Write what a step of a shard spent: the meter now, less the meter before."""
    columns = {
        "step": [label],
        "shard": [shard],
        "forwards": [meter.forwards - before.forwards],
        "backwards": [meter.backwards - before.backwards],
        "model_seconds": [meter.model_seconds - before.model_seconds],
        "method_seconds": [meter.method_seconds - before.method_seconds],
        "wall_seconds": [wall],
        "largest_batch": [meter.largest_batch],
        "back_offs": [meter.back_offs - before.back_offs],
    }
    run.write_rows(table_of(Part("cost", CLEAN, columns)), "cost", label, shard)


def _write_sent(job: Job, shard: int, label: str, before: int | None) -> None:
    """Write how many images a step of a shard sent to the model's address since a count; nothing without one."""
    if before is not None and job.model.asked is not None:
        columns = {"step": [label], "shard": [shard], "images": [job.model.asked - before]}
        job.run.write_rows(table_of(Part("sent", CLEAN, columns)), "sent", label, shard)


def _copy(meter: Meter) -> Meter:
    return Meter(meter.forwards, meter.backwards, meter.model_seconds, meter.method_seconds, 0, meter.back_offs)
