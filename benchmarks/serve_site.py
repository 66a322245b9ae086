"""How fast are the pages of runs: a list of many runs, and a grid of very many samples.

    python benchmarks/serve_site.py --runs 30000 --samples 1000000

Two parts, both asked for through the application as a browser asks (without a network between):

1. The list. Directories with `run.json` and `summary.json` of 50 samples each are written and entered; then seconds of
   a second look where nothing has changed, and milliseconds of pages: first pages of every order, pages further on,
   searches.
2. The grid. One run of N samples under two conditions in shards of 16,384; seconds of the first page, which reads the
   rows, then milliseconds of pages of every order and of filters, one after the other.

Medians and 95th percentiles of `--pages` requests each, on the clock and of the processor.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from _peers import machine
from numpy.typing import NDArray
from starlette.testclient import TestClient

from unshaken.core import Batch
from unshaken.core.outcomes import outcomes
from unshaken.core.part import CLEAN, Condition
from unshaken.serve.app import create_app
from unshaken.serve.site.listing import Order
from unshaken.serve.site.part import open_site, site_parts
from unshaken.serve.site.state import Site
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

Times = NDArray[np.float64]
SHARD = 16_384
CLASSES = 20


def write_runs(folder: Path, runs: int) -> None:
    """Write directories that hold the two records of a run alone."""
    figure = {"low": 0.1, "high": 0.9, "n": 50, "interval": "clopper-pearson 95%"}
    for k in range(runs):
        place = folder / f"month-{k % 12:02d}" / f"run-{k:06d}"
        place.mkdir(parents=True)
        config = RunConfig(
            model="demo", data="demo", plan=[], ids=[f"t10k/{i:05d}" for i in range(50)], shard_size=50,
            model_fingerprint=f"{k:032x}", data_fingerprint=f"{k % 40:032x}", model_name=f"net {k % 300}",
            classes=["a", "b"], plan_name=("quick", "full", "attacks")[k % 3],
        )  # fmt: skip
        summary = {
            "complete": True, "clean": {"value": (k * 7919 % 1000) / 1000, **figure},
            "aggregates": {"worst_case": {"value": (k * 104_729 % 1000) / 1000, **figure}}, "flags": [],
        }  # fmt: skip
        (place / "run.json").write_text(json.dumps(config.to_json()))
        (place / "summary.json").write_text(json.dumps(summary))


def write_samples(folder: Path, samples: int) -> None:
    """Write a run of many samples under two conditions, with logits of its classes."""
    run, ids = RunDir(folder / "large"), [f"train/n{i % CLASSES:08d}/{i:08d}.JPEG" for i in range(samples)]
    config = RunConfig(
        model="demo", data="demo", plan=[], ids=ids, shard_size=SHARD, model_fingerprint="m", data_fingerprint="d",
        model_name="large", classes=[f"class {k}" for k in range(CLASSES)],
    )  # fmt: skip
    run.write_json(config.to_json(), "run.json")
    rng = np.random.default_rng(0)
    for shard in range(config.shards):
        own = config.shard_ids(shard)
        labels = torch.from_numpy(rng.integers(0, CLASSES, len(own)))
        batch = Batch(torch.zeros(len(own), 1, 1, 1), labels, tuple(own))
        for condition, margin in ((CLEAN, 4.0), (Condition("fog-3", "fog", severity=3), 2.0)):
            logits = torch.from_numpy(rng.normal(0, 1, (len(own), CLASSES))).float()
            logits[torch.arange(len(own)), labels] += margin
            run.write_rows(table_of(outcomes(condition, batch, logits)), "outcomes", condition.id, shard)
    flags = pa.table(
        {
            "name": ["doubt"] * 1000,
            "detail": ["x"] * 1000,
            "id": ids[:1000],
            "meaning": [""] * 1000,
            "advice": [""] * 1000,
        }
    )
    run.write_rows(flags, "flags", "start", 0)


def timed(client: TestClient, address: str) -> tuple[Times, str]:
    """Milliseconds of a page on the clock and of the processor, and the page."""
    began, busy = time.perf_counter(), time.process_time()
    answer = client.get(address)
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    assert answer.status_code == 200, answer.text
    return np.array([1000 * seconds, 1000 * cpu]), answer.text


def walk(client: TestClient, address: str, pages: int) -> list[Times]:
    """Milliseconds of a page and of those that follow it by their links."""
    found = []
    while address and len(found) < pages:
        took, page = timed(client, address)
        found.append(took)
        link = page.partition('" rel="next"')
        address = link[0].rpartition('href="')[2].replace("&amp;", "&") if link[1] else ""
    return found


def show(name: str, times: list[Times]) -> None:
    """A line: pages, and median and 95th percentile in milliseconds, on the clock and of the processor."""
    (half, cpu), (most, most_cpu) = np.quantile(times, (0.5, 0.95), axis=0)
    clock = f"median {half:6.1f}  p95 {most:6.1f} ms"
    print(f"{name:38} {len(times):4} pages  {clock}  processor: median {cpu:6.1f}  p95 {most_cpu:6.1f} ms")


def listed(site: Site, client: TestClient, pages: int) -> None:
    """The list of runs."""
    for words in ("first look", "second look, nothing changed"):
        began = time.perf_counter()
        found = site.index.refresh()
        print(f"{words}: {found.found:,} runs, {found.read:,} read, {time.perf_counter() - began:.1f} s")
    show("first page of each order", [timed(client, f"/runs?order={o}")[0] for o in Order for _ in range(5)])
    show("pages, newest first", walk(client, "/runs", pages))
    show("pages by accuracy", walk(client, "/runs?order=clean", pages))
    show("search 'net 17'", walk(client, "/runs?search=net+17", pages))
    show("search for what is absent", [timed(client, "/runs?search=zebra")[0] for _ in range(10)])


def grids(site: Site, client: TestClient, pages: int) -> None:
    """The grid of samples."""
    site.index.refresh()
    number = re.findall(r"\"/runs/(\d+)", client.get("/runs?search=large").text)[0]
    address = f"/runs/{number}/samples?condition=fog-3"
    print(f"first page, with reading of the rows: {timed(client, address)[0][0] / 1000:.1f} s")
    whole = []
    for order in ("worst", "confident", "unsure", "given"):
        times = walk(client, f"{address}&order={order}", pages)
        show(f"order {order}", times)
        whole += times
    for filters in (
        "outcome=broken",
        "outcome=wrong&low=0.5",
        "label=class+7",
        "flag=doubt",
        "predicted=class+3&high=0.2",
    ):
        times = walk(client, f"{address}&{filters}", pages)
        show(filters, times)
        whole += times
    show("all pages of the grid", whole)


def main() -> None:
    """Write runs, and ask for their pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30_000)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--db", help="another database, such as postgresql+psycopg://...")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        for name, size, write, ask in (
            ("list", options.runs, write_runs, listed),
            ("grid", options.samples, write_samples, grids),
        ):
            if not size:
                continue
            place = Path(folder, name)
            began = time.perf_counter()
            write(place, size)
            print(f"\n{name}: {size:,} written in {time.perf_counter() - began:.0f} s")
            with open_site([str(place)], options.db or f"{folder}/{name}.db") as site:
                site.store.ensure_reader("local")
                app = create_app(site_parts(site), readers=site.store, local="local")
                ask(site, TestClient(app, base_url="http://localhost"), options.pages)


if __name__ == "__main__":
    main()
