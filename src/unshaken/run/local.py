"""A run from its first row to its last: its shards, by an executor, then what needs all rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
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
    Masking,
    Order,
    check_accuracy,
    check_boxes,
    check_conditions,
    check_labels,
    check_order_of_classes,
    check_order_of_user,
    check_values,
    subjects,
    suspicious,
)
from unshaken.run.plan import prepare
from unshaken.run.pool import open_pool
from unshaken.run.shard import Job, write_flags
from unshaken.store.config import NAME, UNFINISHED, RunConfig, check_same, read_config
from unshaken.store.journal import clear_journals
from unshaken.store.lease import Lease, take
from unshaken.store.lock import NO_LOCK, Lock, check_unlocked, check_unshared, locked
from unshaken.store.read_rows import parse_rows
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import write_ids
from unshaken.store.tables import empty_table

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

    Every file is read once, and the rows of one shard are held at a time: what samples have in common is counted, and
    those that are found are kept.

    Args:
        run: the directory.
        config: of the run.
        shards: those whose rows must be there.
        inside: see `Job`.

    Raises:
        RunError: the rows are not those of the samples.
    """
    masking, order = Masking(run.rows("turns")), Order(subjects(config.plan))
    files, certificates = _files_by_shard(run, "outcomes"), _files_by_shard(run, "certificates")
    examples = run.names("examples", suffix=".safetensors") if config.save_examples >= 0 else []
    clean, suspects = [_NONE.select(["label", "prediction", "correct"])], [_NONE]
    wanted, damages = set(shards), dict[str, dict[str, float]]()
    for shard in sorted(wanted | files.keys()):
        frame = _read_shard(run, "outcomes", files.get(shard, []), _FINISHED)
        _check_complete(run, config, frame, shard, wanted)
        frame = frame.filter(pc.is_null(frame["error"]))
        unchanged = pc.equal(frame["condition"], CLEAN.id)
        if not inside:
            clean.append(frame.filter(unchanged).select(["label", "prediction", "correct"]))
        suspects.append(suspicious(frame.filter(pc.invert(unchanged)) if inside else frame))
        masking.add(frame)
        if shard in certificates:
            order.add(frame, _read_shard(run, "certificates", certificates[shard]))
        for condition, found in _damages(run, frame, shard, examples).items():
            damages.setdefault(condition, {}).update(found)
    whole, odd = pa.concat_tables(clean), pa.concat_tables(suspects)
    place = [_as_file(condition) for condition in odd["condition"].to_pylist()]
    flags = [
        *check_accuracy(whole),
        *check_values(odd.take(np.array(sorted(range(len(odd)), key=place.__getitem__), np.int64))),
        *check_order_of_classes(whole, config.classes),
        *masking.flags(_as_file),
        *order.flags(),
    ]
    if flags:  # in one step: another process of a shared run may be reading them
        write_flags(run, "finish", 0, flags)
    else:
        run.remove("rows", "flags", "finish-00000.parquet")
    if examples:
        prune(run, damages, config.save_examples)
    run.remove(UNFINISHED)


_FINISHED = [
    *("id", "condition", "eps", "norm", "label", "prediction", "confidence", "correct", "loss", "distance"),
    *("broken_by", "error"),
]
_NONE = empty_table("outcomes").select(_FINISHED)


def _as_file(condition: str) -> str:
    """Key by which conditions stand in the order of their files."""
    return f"{condition}-"


def _files_by_shard(run: RunDir, table: str) -> dict[int, list[str]]:
    """Names of the files of each shard, sorted."""
    found: dict[int, list[str]] = {}
    for file in run.names("rows", table, suffix=".parquet"):
        number = file.removesuffix(".parquet").rpartition("-")[2]
        own = int(number) if number.isascii() and number.isdecimal() else -1  # reading it says what is wrong
        found.setdefault(own, []).append(file)
    return found


def _read_shard(run: RunDir, table: str, files: Iterable[str], columns: list[str] | None = None) -> pa.Table:
    """The rows of some files; of none an empty table."""
    parts = [parse_rows(run.read("rows", table, f), table, f, str(run), columns, run=run.identity) for f in files]
    empty = empty_table(table)
    return pa.concat_tables([empty.select(columns) if columns else empty, *parts], promote_options="default")


def _check_complete(run: RunDir, config: RunConfig, frame: pa.Table, shard: int, shards: set[int]) -> None:
    """Refuse rows that are not those of a shard's samples, as in a directory that somebody changed.

    Raises:
        RunError: samples are absent, stand twice, or are not the shard's.
    """
    wanted = pa.array(config.shard_ids(shard) if shard in shards else [], pa.string())
    for condition in dict.fromkeys([CLEAN.id, *pc.unique(frame["condition"]).to_pylist()]):
        ids = frame["id"].filter(pc.equal(frame["condition"], condition)).combine_chunks()
        if ids.equals(wanted):
            continue
        known = len(pc.unique(ids)) == len(ids) and pc.all(pc.is_in(ids, wanted), min_count=0).as_py()
        if not known or (condition == CLEAN.id and len(ids) != len(wanted)):
            samples = sum(len(range(*config.shard_slice(s).indices(len(config.ids)))) for s in shards)
            raise RunError(
                f"{run}: the rows of {condition!r} are not those of the run's {samples:,} samples; delete "
                f"rows/outcomes/{condition}-*.parquet and resume the run"
            )


def _damages(run: RunDir, frame: pa.Table, shard: int, examples: Container[str]) -> dict[str, dict[str, float]]:
    """Condition to the damage of each sample of a shard, of the conditions that pictures were kept of."""
    found: dict[str, dict[str, float]] = {}
    names = ["prediction", "confidence", *(n for n in ("correct", "loss") if not frame[n].null_count)]
    parts = {c: frame.filter(pc.equal(frame["condition"], c)) for c in pc.unique(frame["condition"]).to_pylist()}
    for condition, own in parts.items():
        if condition != CLEAN.id and f"{condition}-{shard:05d}.safetensors" in examples:
            same = parts[CLEAN.id].take(pc.index_in(own["id"], value_set=parts[CLEAN.id]["id"].combine_chunks()))
            changed, clean = ({n: t[n].to_numpy() for n in names} for t in (own, same))
            found[condition] = dict(zip(own["id"].to_pylist(), damage(changed, clean).tolist(), strict=True))
    return found
