"""Seconds and memory of everything around the work of a very large run: planned, resumed, merged and read.

    python benchmarks/long_runs.py --samples 10000000 --shard-size 65536 --folder large

A run of N samples under C conditions, as a stub model would leave it: the data set has ids of 36 characters, labels and
one grey image for all; every shard but the last of each part has its rows, drawn at random. Two parts (`1/2` and `2/2`)
stand in two folders. Then, each stage in a process of its own:

- `ids`: the data set is made: its ids are checked and fingerprinted.
- `plan`: the configuration of each part is made, written and identified; beyond a million ids stand in files beside it.
- `rows`: the stub's rows are written (no stage of unshaken: seconds of the simulation).
- `resume`: both parts are resumed: what is there is checked and found, the last shards are computed, and the flags over
  all rows raised.
- `merge`: the parts become one run.
- `report`, with two gates; `compare`, of the whole with a part; `query`, an average by condition in SQL; `list`, the
  list of `unshaken serve`.

Seconds of the processor and of the clock; where a stage makes the data set (`plan` and `resume`, twice each) its are
among them. Memory is the largest resident set of the process above that of one that has only imported.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from _peers import machine
from torch import nn
from typing_extensions import override

from unshaken.cli.results import open_rows
from unshaken.core import Classifier
from unshaken.core.part import CLEAN, Part
from unshaken.data import Dataset
from unshaken.data.spec import Options
from unshaken.models import fingerprint
from unshaken.report import compare_runs
from unshaken.report.write import write_report
from unshaken.run import Job, execute, load_plan
from unshaken.run.merge import merge_runs
from unshaken.run.plan import prepare
from unshaken.run.record import record_methods, record_steps
from unshaken.store.config import NAME, RunConfig, read_config
from unshaken.store.mark import marked
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import pack_ids, write_ids
from unshaken.store.tables import table_of

CLASSES = 4
METHODS = ("brightness", "contrast", "gaussian_noise", "gaussian_blur")
PARTS = ("1/2", "2/2")


class Stub(Dataset):
    """N samples of one grey image."""

    def __init__(self, samples: int) -> None:
        self._image = np.full((8, 8), 128, np.uint8)
        super().__init__(
            ids=(f"train/n01440764/n01440764_{i:08d}.JPEG" for i in range(samples)),
            labels=np.arange(samples) % CLASSES,
            classes=[f"class {k}" for k in range(CLASSES)],
            root="memory",
            options=Options(spec="stub"),
        )

    @override
    def fetch(self, index: int) -> np.ndarray:
        return self._image

    @override
    def content(self) -> Iterable[object]:
        yield self.ids


@dataclass(frozen=True)
class Size:
    """How large the run is."""

    samples: int
    conditions: int
    shard_size: int


def job_of(folder: Path, size: Size, part: str | None) -> Job:
    """A run made ready, as `unshaken audit` does it."""
    data = Stub(size.samples)
    torch.manual_seed(0)
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)), name="stub").eval()
    lines = [(METHODS[k // 5], k % 5 + 1) for k in range(size.conditions - 1)]
    plan = load_plan(
        [{"method": m, "severities": [s for n, s in lines if n == m]} for m in dict.fromkeys(m for m, _ in lines)]
    )
    config = RunConfig(
        schema=1, model="stub", data="stub", plan=plan, ids=pack_ids(data.ids), shard_size=size.shard_size, part=part,
        model_fingerprint=fingerprint(model), data_fingerprint=data.fingerprint, model_name="stub",
        classes=list(data.classes), methods=record_methods(plan), steps=record_steps(plan),
    )  # fmt: skip
    return Job(run=RunDir(folder), config=config, model=model, dataset=data, limit=1024, workers=1)


def stage_ids(folder: Path, size: Size) -> None:
    """Make the data set."""
    print(f"fingerprint {Stub(size.samples).fingerprint}")


def stage_plan(folder: Path, size: Size) -> None:
    """Plan both parts."""
    for k, part in enumerate(PARTS):
        job = job_of(folder / f"part-{k}", size, part)
        write_ids(job.run, job.config.ids)
        job.run.write_json(job.config.to_json(), NAME)
        read_config(job.run)


def _drawn(rng: np.random.Generator, n: int, margin: float) -> dict[str, Any]:
    """Columns of n samples whose logit of the right class, the first here, is larger by a margin in the mean."""
    logits = rng.normal(0, 1, (n, CLASSES)).astype(np.float32)
    logits[:, 0] += margin
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return {
        "prediction": logits.argmax(1), "confidence": p.max(1), "logits": logits, "loss": -np.log(p[:, 0]),
        "forwards": np.ones(n, np.int64), "backwards": np.zeros(n, np.int64), "seconds": np.full(n, 1e-4),
    }  # fmt: skip


def stage_rows(folder: Path, size: Size) -> None:
    """Write the rows of all shards of each part but its last."""
    rng = np.random.default_rng(0)
    for k in range(len(PARTS)):
        run = RunDir(folder / f"part-{k}")
        config = read_config(run)
        steps = prepare(config.plan)
        every = [(CLEAN, "clean"), *((c, s.label) for s in steps for c in s.conditions)]
        for table in ("outcomes", "cost"):
            os.makedirs(run.at("rows", table), exist_ok=True)
        drawn = [_drawn(rng, config.shard_size, 3 - 2.5 * place / len(every)) for place in range(len(every))]
        for shard in config.own_shards[:-1]:
            ids = pa.array(config.shard_ids(shard), pa.string())
            labels = (np.arange(len(ids)) + shard * config.shard_size) % CLASSES
            for (condition, _), one in zip(every, drawn, strict=True):
                answer = (labels + one["prediction"]) % CLASSES  # 0: right
                columns = {"id": ids, **one, "label": labels, "prediction": answer, "correct": answer == labels}
                file = f"{condition.id}-{shard:05d}.parquet"
                own = marked(table_of(Part("outcomes", condition, columns)), run.identity, f"outcomes/{file}")
                pq.write_table(own, run.at("rows", "outcomes", file), compression="zstd", write_page_checksum=True)
        first = config.own_shards[0]
        for label in dict.fromkeys(label for _, label in every):  # one file a step, linked: it says what was spent
            columns = {
                "step": [label], "shard": [first], "forwards": [1024], "backwards": [0], "model_seconds": [0.1],
                "method_seconds": [0.0], "wall_seconds": [0.1], "largest_batch": [1024], "back_offs": [0],
            }  # fmt: skip
            source = run.at("rows", "cost", f"{label}-{first:05d}.parquet")
            pq.write_table(table_of(Part("cost", CLEAN, columns)), source, write_page_checksum=True)
            for shard in config.own_shards[1:-1]:
                os.link(source, run.at("rows", "cost", f"{label}-{shard:05d}.parquet"))


def stage_resume(folder: Path, size: Size) -> None:
    """Resume both parts."""
    for k, part in enumerate(PARTS):
        execute(job_of(folder / f"part-{k}", size, part), resume=True)


def stage_merge(folder: Path, size: Size) -> None:
    """Join the parts."""
    merge_runs([RunDir(folder / f"part-{k}") for k in range(len(PARTS))], RunDir(folder / "whole"))


def stage_report(folder: Path, size: Size) -> None:
    """Make the report and decide gates."""
    write_report(RunDir(folder / "whole"), gates=["clean.accuracy >= 0.5", "worst_case >= 0"])


def stage_compare(folder: Path, size: Size) -> None:
    """Compare the whole with a part."""
    compare_runs([RunDir(folder / "whole"), RunDir(folder / "part-0")])


def stage_query(folder: Path, size: Size) -> None:
    """Ask for the mean by condition."""
    with open_rows(RunDir(folder / "whole")) as rows:
        rows.sql("select condition, avg(correct::int) from outcomes group by condition").fetchall()


def stage_list(folder: Path, size: Size) -> None:
    """Enter the runs into the list of the site."""
    from unshaken.serve.site.index import RunIndex

    with RunIndex(folder / "runs.sqlite", [str(folder)]) as index:
        index.refresh()


STAGES = {name.removeprefix("stage_"): stage for name, stage in list(globals().items()) if name.startswith("stage_")}


def memory() -> float:
    """MiB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(name: str, folder: Path, size: Size) -> tuple[float, float, float]:
    """Seconds of the processor and of the clock that a stage took, and MiB above the imports."""
    job_of(folder / "warm-up", Size(64, size.conditions, 64), None)  # imports what every stage needs
    before, began, busy = memory(), time.perf_counter(), time.process_time()
    STAGES[name](folder, size)
    return time.process_time() - busy, time.perf_counter() - began, memory() - before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--conditions", type=int, default=20, help="the unchanged images included; at most 21")
    parser.add_argument("--shard-size", type=int, default=1024)
    parser.add_argument("--folder", type=Path, help="where the runs stand, and stay; default a temporary folder")
    parser.add_argument("--stages", nargs="*", default=list(STAGES), help="those to run, in order")
    given = parser.parse_args()
    size = Size(given.samples, given.conditions, given.shard_size)
    shape = f"{size.samples:,} x {size.conditions}, shards of {size.shard_size:,}"
    print(f"{machine()}\n\n| {shape} | processor, s | clock, s | MiB |\n|---|---|---|---|", flush=True)
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as alone:
        for name in given.stages:
            busy, seconds, held = alone.submit(measured, name, folder, size).result()
            print(f"| {name} | {busy:,.1f} | {seconds:,.1f} | {held:,.0f} |", flush=True)
    if given.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
