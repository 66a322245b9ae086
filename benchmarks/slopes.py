"""How do seconds and memory of every verb grow with the number of samples?

    python benchmarks/slopes.py --sizes 1000 10000 100000

Samples are noise of 8 x 8 pixels in memory, the model is one linear layer: what is measured is everything but a model.
Each verb runs at each size in a process of its own, after a warm-up of 200 samples that pays for imports and first
calls. Seconds are of the processor; MiB are what the largest resident set rose by. The slope is the exponent between
the last two sizes, `log(t2 / t1) / log(n2 / n1)`: 1 is linear, less than 1 has a part that does not grow.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _peers import machine
from torch import nn

import unshaken
from unshaken.api.corrupt import write_corrupted
from unshaken.core import Classifier
from unshaken.data.arrays import InMemory
from unshaken.report.write import write_report
from unshaken.store.run_dir import RunDir
from unshaken.store.split import LARGEST_SHARD

WARM = 200
SHARD_PARTS = ("1/2", "2/2")


@dataclass(frozen=True)
class Case:
    """A verb at a size: what it works on, and where."""

    folder: Path
    data: InMemory
    model: Classifier

    def audit(self, name: str, **options: Any) -> str:
        """Make a run that a verb reads; it is no part of what is measured."""
        plan = [{"method": "contrast", "severities": [1, 3]}, {"method": "fgsm", "eps": [0.1]}]
        out = self.folder / name
        unshaken.audit(self.model, self.data, plan, out=out, workers=1, **options)
        return str(out)


Prepared = Callable[[], object]


def audit(case: Case) -> Prepared:
    """Two corruptions and an attack, with the report."""
    return partial(case.audit, "audit")


def resume(case: Case) -> Prepared:
    """A finished run."""
    case.audit("audit")
    return partial(case.audit, "audit", resume=True)


def attack(case: Case) -> Prepared:
    """PGD of five steps."""
    return partial(unshaken.attack, case.model, case.data, "pgd:steps=5", eps=0.1, out=case.folder / "run", workers=1)


def certify(case: Case) -> Prepared:
    """Smoothing with 50 votes."""
    method, out = "smoothing:n0=10,n=50", case.folder / "run"
    return partial(unshaken.certify, case.model, case.data, method, attacked=False, out=out, workers=1)


def detect(case: Case) -> Prepared:
    """Two scores on samples of the data, fitted on 200 of them."""
    from unshaken.detect import fit

    fit(case.model, case.data, ["knn", "energy"], limit=WARM, workers=1).save(case.folder / "fitted")
    out = case.folder / "run"
    return partial(unshaken.detect, case.model, case.data, case.folder / "fitted", attacked=False, out=out, workers=1)


def explain(case: Case) -> Prepared:
    """Maps of gradients, of which 100 are kept."""
    out = case.folder / "run"
    return partial(unshaken.explain, case.model, case.data, "gradient", keep_maps=100, out=out, workers=1)


def labels(case: Case) -> Prepared:
    """Confident learning from given probabilities."""
    rng = np.random.default_rng(0)
    p = rng.random((len(case.data), 10)).astype(np.float32)
    p[np.arange(len(p)), case.data.labels] += 2
    p /= p.sum(1, keepdims=True)
    return partial(unshaken.find_labels, case.data, probabilities=p, out=case.folder / "run")


def harden(case: Case) -> Prepared:
    """One epoch of FGSM training of a small network."""
    settings = {"epochs": 1, "batch_size": 256, "check_images": 16}
    out = case.folder / "run"
    return partial(unshaken.harden, "small-cnn", case.data, "fgsm-rs:eps=0.1", out=out, workers=1, **settings)


def corrupt(case: Case) -> Prepared:
    """Files of one corruption at five severities."""
    return partial(write_corrupted, case.data, case.folder / "files", corruptions=["contrast"])


def report(case: Case) -> Prepared:
    """The report of a run, with a gate."""
    return partial(write_report, RunDir(case.audit("audit")), gates=["clean.accuracy >= 0"])


def compare(case: Case) -> Prepared:
    """A run with itself."""
    run = case.audit("audit")
    return partial(unshaken.compare, run, run)


def merge(case: Case) -> Prepared:
    """Two parts; of samples that make one shard the run by itself."""
    shares = SHARD_PARTS if len(case.data) > LARGEST_SHARD else (None,)
    parts = [case.audit(f"part-{k}", part=part) for k, part in enumerate(shares)]
    return partial(unshaken.merge, *parts, out=case.folder / "whole")


def query(case: Case) -> Prepared:
    """The accuracy of each condition in SQL."""
    from unshaken.cli.results import ask

    run, sql = case.audit("audit"), "select condition, avg(correct::int) from outcomes group by condition"
    return partial(ask, RunDir(run), sql)


def listed(case: Case) -> Prepared:
    """The list of `unshaken serve` with one run."""
    from unshaken.serve.site.index import RunIndex

    case.audit("audit")

    def refresh() -> None:
        with RunIndex(case.folder / "runs.sqlite", [str(case.folder)]) as index:
            index.refresh()

    return refresh


VERBS = (
    audit,
    resume,
    attack,
    certify,
    detect,
    explain,
    labels,
    harden,
    corrupt,
    report,
    compare,
    merge,
    query,
    listed,
)


def case_of(folder: str, samples: int) -> Case:
    """Noise, labels that the linear layer mostly gives, and the layer."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), name="stub").eval()
    images = torch.from_numpy(rng.integers(0, 256, (samples, 1, 8, 8), np.uint8))
    with torch.no_grad():
        right = model(images.float() / 255).argmax(1)
    right = torch.where(
        torch.from_numpy(rng.random(samples) < 0.3), torch.from_numpy(rng.integers(0, 10, samples)), right
    )
    return Case(Path(folder), InMemory(images, right, classes=[f"class {k}" for k in range(10)]), model)


def memory() -> float:
    """MiB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(verb: Callable[[Case], Prepared], samples: int) -> tuple[float, float]:
    """Seconds of the processor, and MiB, of a verb."""
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        with tempfile.TemporaryDirectory() as folder:
            verb(case_of(folder, WARM))()
        with tempfile.TemporaryDirectory() as folder:
            work = verb(case_of(folder, samples))
            before, busy = memory(), time.process_time()
            work()
            return time.process_time() - busy, memory() - before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--verbs", nargs="*", default=[v.__name__ for v in VERBS])
    given = parser.parse_args()
    heads = " | ".join(f"{n:,}: s, MiB" for n in given.sizes)
    print(f"{machine()}\n\n| verb | {heads} | slope |\n|---|{'---|' * (len(given.sizes) + 1)}", flush=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as alone:
        for verb in (v for v in VERBS if v.__name__ in given.verbs):
            found = [alone.submit(measured, verb, n).result() for n in given.sizes]
            cells = " | ".join(f"{seconds:.2f}, {held:.0f}" for seconds, held in found)
            ratio = math.log(given.sizes[-1] / given.sizes[-2]) if len(given.sizes) > 1 else math.nan
            slope = math.log(found[-1][0] / found[-2][0]) / ratio if len(found) > 1 else math.nan
            print(f"| `{verb.__name__}` | {cells} | {slope:.2f} |", flush=True)


if __name__ == "__main__":
    main()
