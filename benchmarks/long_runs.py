"""Seconds that a run of many samples needs beside its work: to be planned, and to be resumed.

    python benchmarks/long_runs.py --samples 1000000

A run of N images of 8 x 8 pixels and one linear layer is planned (`RunConfig`, written as `run.json`). Then every
shard but the last few gets its finished rows (one empty file, linked everywhere), and `execute` resumes: it reads and
compares the configuration, finds what is finished, passes over it, and computes the rest; the flags over all rows are
part of it. The seconds of the rest's own work stand beside. From a tenth of N to N the time beside the work grows
tenfold where it is linear, a hundredfold where it is quadratic.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from _peers import machine
from torch import nn

from unshaken.core import Classifier
from unshaken.data.arrays import InMemory
from unshaken.models import fingerprint
from unshaken.run import Job, execute, load_plan
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import empty_table

PLAN = [{"method": "contrast", "severities": [1, 3]}]
CONDITIONS, STEPS = ("clean", "contrast-1", "contrast-3"), ("clean", "contrast")


def planned(folder: Path, samples: int, shard_size: int) -> Job:
    """A run made ready."""
    data = InMemory(torch.zeros(samples, 1, 8, 8, dtype=torch.uint8), torch.arange(samples) % 2, classes=("a", "b"))
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), name="linear").eval()
    config = RunConfig(
        schema=1, model="linear", data="zeros", plan=load_plan(PLAN), ids=list(data.ids), shard_size=shard_size,
        model_fingerprint=fingerprint(model), data_fingerprint=data.fingerprint, model_name="linear",
        classes=["a", "b"],
    )  # fmt: skip
    return Job(RunDir(folder), config, model, data, limit=1024, workers=1)


def finish(job: Job, shards: int) -> None:
    """Give the first shards the rows of finished ones, without their work: hard links to one empty file a table."""
    for table, names in (("outcomes", CONDITIONS), ("cost", STEPS)):
        job.run.write_rows(empty_table(table), table, names[0], 0)
        first = Path(job.run.at("rows", table, f"{names[0]}-00000.parquet"))
        for name in names:
            for shard in range(shards):
                there = first.with_name(f"{name}-{shard:05d}.parquet")
                if there != first:
                    os.link(first, there)


def measured(samples: int, shard_size: int, left: int) -> tuple[int, float, float, float]:
    """Shards, and seconds: to plan, to resume with `left` shards of work, and for these shards' work alone."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        job = planned(Path(folder), samples, shard_size)
        job.run.write_json(job.config.to_json(), "run.json")
        plan = time.perf_counter() - began
        finish(job, job.config.shards - left)
        began = time.perf_counter()
        execute(job, resume=True)
        resumed = time.perf_counter() - began
        work = sum(job.run.rows("cost").column("wall_seconds").to_pylist())
        return job.config.shards, plan, resumed, work


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--shard-size", type=int, default=1024)
    parser.add_argument("--left", type=int, default=20, help="shards that are not finished")
    options = parser.parse_args()
    measured(20_000, options.shard_size, 1)  # warm up
    print(
        f"{machine()}\n\n| samples | shards | plan, s | resume, s | of it the rest's work, s |\n|---|---|---|---|---|"
    )
    for samples in (options.samples // 10, options.samples):
        shards, plan, resumed, work = measured(samples, options.shard_size, options.left)
        print(f"| {samples:,} | {shards} | {plan:.2f} | {resumed:.2f} | {work:.2f} |", flush=True)


if __name__ == "__main__":
    main()
