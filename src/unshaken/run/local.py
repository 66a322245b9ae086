"""A run from its first row to its last: its shards, by an executor, then what needs all rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.core.errors import RunError
from unshaken.core.flag import FlagKind
from unshaken.core.part import CLEAN
from unshaken.core.progress import Task, track
from unshaken.core.trust import check_mode
from unshaken.run.engine import LOCAL
from unshaken.run.examples import damage, prune
from unshaken.run.executor import LEASES, POLL_SECONDS, Executor, InProcess, OnPool, compute, name_shard, shards_of
from unshaken.run.flags import (
    check_boxes,
    check_conditions,
    check_labels,
    check_masking,
    check_order,
    check_order_of_classes,
    check_order_of_user,
    check_rows,
    subjects,
)
from unshaken.run.plan import prepare
from unshaken.run.pool import open_pool
from unshaken.run.shard import Job, write_flags
from unshaken.store.config import NAME, UNFINISHED, RunConfig, check_same, read_config
from unshaken.store.journal import clear_journals
from unshaken.store.lease import Lease, take
from unshaken.store.lock import NO_LOCK, Lock, check_unlocked, check_unshared, locked
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import write_ids

NOT_RUN = FlagKind(
    "not-run",
    "methods of the plan that cannot be run with this model or this data",
    "These conditions are missing, not passed: use methods that need no gradients, another model form, or "
    "data with labels.",
)

_SKIPPED = "not run: "
"""Begins the detail of such a flag, before the labels of the steps."""

FINISH = "finish"
"""The lease of the work that needs all rows."""


def execute(job: Job, *, resume: bool = False, begin: Callable[[bool], None] = lambda first: None) -> None:
    """Compute every shard that is not there yet, then finish the run.

    Args:
        job: the run.
        resume: go on with a run that is there; its configuration must be the same. A shared run needs no such word.
        begin: called where the directory is this run's own, before any row is computed, with whether the run is new;
            `run.json` of a new one is written after it.

    Raises:
        RunError: the directory holds another run, is locked or cannot be written, or the run was interrupted (the
            message says how to go on).
    """
    with _alone(job) as lock:
        _begin(job, resume, begin)
        finished = job.finished()
        total = job.config.own_samples * sum(job.weights().values())
        leases: dict[int, Lease] = {}

        def alive() -> None:
            for held in (lock, *leases.values()):
                held.renew()

        try:
            name = f"{job.config.model_name}: {job.config.plan_name}"
            with track(name, total) as task, _executor(job, task, alive) as executor:
                compute(job, executor, finished, task, leases, alive)
            with _alone(job, FINISH):
                finish(job.run, job.config, job.config.own_shards, inside=job.inside)
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"{job.run}: interrupted; finished results are saved: run the same command with --resume"
            ) from error
        finally:
            for lease in leases.values():
                lease.release()


@contextmanager
def _alone(job: Job, part: str = "") -> Iterator[Lock]:
    """Hold the directory; where the run is shared with other processes, hold only a part of the work, one by one.

    Args:
        job: the run.
        part: of a shared run; empty for what all may do at once.
    """
    if not job.shared:
        with locked(job.run) if not part else nullcontext(NO_LOCK) as lock:
            if not part:
                check_unshared(job.run, LEASES)
            yield lock
    elif not part:
        check_unlocked(job.run)
        yield NO_LOCK
    else:
        with one_by_one(job.run, part) as lease:
            yield lease


@contextmanager
def one_by_one(run: RunDir, part: str) -> Iterator[Lease]:
    """Hold a part of the work of a shared run; a process that comes meanwhile waits.

    Args:
        run: the directory.
        part: name of the work.
    """
    while (lease := take(run, LEASES, part)) is None:
        time.sleep(POLL_SECONDS)
    lease.keep()
    try:
        yield lease
    finally:
        lease.release()


def _begin(job: Job, resume: bool, begin: Callable[[bool], None]) -> None:
    """Write the configuration, or check that it is the one that is there; clean up, and write the first flags."""
    run, config = job.run, job.config
    if not _is_first(job, begin):
        if not (resume or job.shared):
            raise RunError(
                f"{run}: this directory already holds a run; add --resume to continue it, or choose another --out"
            )
        check_same(run, read_config(run), config)
        begin(False)
    if not job.shared:  # what a temporary file belongs to may be at work
        run.sweep()
    run.check_marks()
    _flag_start(job)


def _is_first(job: Job, begin: Callable[[bool], None]) -> bool:
    """Write the configuration unless there is one; whether it was written."""
    run, config = job.run, job.config.to_json()
    if run.exists(NAME):
        return False
    clear_journals(run)
    run.write(b"", UNFINISHED)
    write_ids(run, job.config.ids)
    begin(True)
    if job.shared:
        return run.create_json(config, NAME)
    run.write_json(config, NAME)  # nobody else writes here: the directory is locked
    return True


@contextmanager
def _executor(job: Job, progress: Task, alive: Callable[[], None]) -> Iterator[Executor]:
    if job.engine == LOCAL:
        yield InProcess(job, progress, alive)
        return
    if job.remake is None:
        raise RunError(f"{job.run}: this run cannot be made anew in another process; use --engine local")
    remake = partial(shards_of, job.remake, job.config)
    with open_pool(job.engine, job.run, remake, device=job.config.device, name_unit=partial(name_shard, job)) as pool:
        yield OnPool(job, pool, progress)


class Interrupted(RunError):
    """The user stopped the run; it can be resumed."""


def _flag_start(job: Job) -> None:
    """Write the flags that are known before any sample is read."""
    steps = job.steps()
    flags = check_mode(job.model) + check_conditions([c for s in steps for c in s.conditions])
    flags += check_labels(job.dataset, job.config.ids, job.config.classes) + check_order_of_user(job.config.labels)
    flags += check_boxes(job.dataset, job.config.ids)
    skipped: dict[str, list[str]] = {}
    for step in prepare(job.config.plan):
        if (reason := job.obstacle(step)) is not None:
            skipped.setdefault(reason, []).append(step.label)
    flags += [NOT_RUN.flag(f"{_SKIPPED}{', '.join(labels)}; {reason}") for reason, labels in skipped.items()]
    if flags:
        write_flags(job.run, "start", 0, flags)


def labels_not_run(flags: pa.Table) -> set[str]:
    """The labels of the steps that could not be run with the model or the data, as flags name them.

    Args:
        flags: rows with `name` and `detail`.
    """
    details = flags.filter(pc.equal(flags["name"], NOT_RUN.name))["detail"].to_pylist()
    return {label for d in details for label in d.removeprefix(_SKIPPED).partition("; ")[0].split(", ")}


def finish(run: RunDir, config: RunConfig, shards: Iterable[int], *, inside: bool = False) -> None:
    """Do the work that needs all rows: flags about figures, and the choice of pictures.

    Args:
        run: the directory.
        config: of the run.
        shards: those whose rows must be there.
        inside: see `Job`.

    Raises:
        RunError: the rows are not those of the samples.
    """
    columns = ["id", "condition", "eps", "norm", "label", "prediction", "confidence", "correct", "loss", "distance"]
    frame = run.rows("outcomes", [*columns, "broken_by", "error"])
    _check_complete(run, config, frame, shards)
    frame = frame.filter(pc.is_null(frame["error"]))
    judged = frame.filter(pc.not_equal(frame["condition"], CLEAN.id)) if inside else frame
    flags = [
        *check_rows(judged),
        *check_order_of_classes(judged, config.classes),
        *check_masking(frame, run.rows("turns")),
    ]
    if run.names("rows", "certificates", suffix=".parquet"):
        flags += check_order(frame, run.rows("certificates"), subjects(config.plan))
    if flags:  # in one step: another process of a shared run may be reading them
        write_flags(run, "finish", 0, flags)
    else:
        run.remove("rows", "flags", "finish-00000.parquet")
    if config.save_examples >= 0 and run.names("examples"):
        prune(run, _damages(frame), config.save_examples)
    run.remove(UNFINISHED)


def _check_complete(run: RunDir, config: RunConfig, frame: pa.Table, shards: Iterable[int]) -> None:
    """Refuse rows that are not those of the run's samples, as in a directory that somebody changed.

    Raises:
        RunError: samples are absent, stand twice, or are not the run's.
    """
    wanted = pa.array(sorted(i for shard in shards for i in config.shard_ids(shard)), pa.string())
    for condition in dict.fromkeys([CLEAN.id, *pc.unique(frame["condition"]).to_pylist()]):
        ids = frame.filter(pc.equal(frame["condition"], condition))["id"].combine_chunks().sort()
        whole = condition == CLEAN.id
        right = (
            ids.equals(wanted) if whole else len(pc.unique(ids)) == len(ids) and pc.all(pc.is_in(ids, wanted)).as_py()
        )
        if right is False:
            raise RunError(
                f"{run}: the rows of {condition!r} are not those of the run's {len(wanted):,} samples; delete "
                f"rows/outcomes/{condition}-*.parquet and resume the run"
            )


def _damages(frame: pa.Table) -> dict[str, dict[str, float]]:
    """Condition to sample id to damage, from rows."""
    conditions = frame["condition"].to_numpy(zero_copy_only=False)
    ids = frame["id"].to_numpy(zero_copy_only=False)
    names = ["prediction", "confidence", *(n for n in ("correct", "loss") if not frame[n].null_count)]
    columns = {n: frame[n].to_numpy(zero_copy_only=False) for n in names}
    rows = {c: np.flatnonzero(conditions == c) for c in dict.fromkeys(conditions)}
    rows = {c: r[np.argsort(ids[r])] for c, r in rows.items()}
    found: dict[str, dict[str, float]] = {}
    for c in (c for c in rows if c != CLEAN.id):
        own = rows[c]
        same = rows[CLEAN.id][np.isin(ids[rows[CLEAN.id]], ids[own])]  # fewer where files could not be read
        changed, clean = ({n: v[r] for n, v in columns.items()} for r in (own, same))
        found[c] = dict(zip(ids[own], damage(changed, clean).tolist(), strict=True))
    return found
