"""What a run of very many images costs beside its work: measured at two sizes, and drawn out along the growth.

    python benchmarks/growth.py --measured 4000000 --images 100000000 --conditions 20 --workers 256

Three parts:

1. The plan. The configuration of N samples is written, read and identified, and the ids of one shard are read, in a
   process of its own; bytes, seconds, and memory above that of the ids themselves, which the data set has anyway.
2. The report. N rows a condition are written in shards of 1,024 and read as reports read them; files, bytes, seconds.
3. The work. Shards whose seconds are drawn (lognormal, a coefficient of variation of 0.3) go to the next free worker;
   how much longer it takes than evenly spread work, without trouble, with one worker ten times as slow, and with one
   that dies and whose lease is taken over after ten minutes.

Parts 1 and 2 are measured at two sizes; the last column goes on with their difference. Listings of an object store are
counted on paper: 1,000 names a request of 0.1 seconds.
"""

from __future__ import annotations

import argparse
import heapq
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
from _peers import machine

from unshaken.core.ids import Ids
from unshaken.store.config import NAME, RunConfig, read_config
from unshaken.store.owner import STALE_SECONDS
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import GivenIds, write_ids
from unshaken.store.tables import schema_of

SHARD = 1024


def memory() -> float:
    """MiB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plan(samples: int, listed: bool) -> dict[str, float]:
    """Write, read and identify the configuration of a run.

    Args:
        samples: number of them.
        listed: with the ids as a list in `run.json`, as of small runs, in the place of files beside it.
    """
    ids = Ids.of(f"train/n01440764/n01440764_{i:08d}.JPEG" for i in range(samples))
    before = memory()
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(folder)
        config = RunConfig(
            model="m", data="d", plan=[], ids=list(ids) if listed else GivenIds(ids),
            shard_size=SHARD, model_fingerprint="m", data_fingerprint="d", model_name="m", classes=["a", "b"],
        )  # fmt: skip
        began = time.perf_counter()
        write_ids(run, config.ids)
        run.write_json(config.to_json(), NAME)
        wrote = time.perf_counter()
        found = read_config(run)
        read = time.perf_counter()
        found.shard_ids(found.shards // 2)
        return {
            "run.json, MB": Path(folder, NAME).stat().st_size / 1e6,
            "files of ids, MB": sum(p.stat().st_size for p in Path(folder).glob("ids/*")) / 1e6,
            "plan written, s": wrote - began,
            "plan read and identified, s": read - wrote,
            "ids of one shard read, s": time.perf_counter() - read,
            "memory above the ids, MiB": memory() - before,
        }


def report(samples: int) -> dict[str, float]:
    """Write a condition's rows in shards, and read what reports read."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(folder)
        for shard in range(-(-samples // SHARD)):
            n = min(SHARD, samples - shard * SHARD)
            columns = {
                "id": [f"train/n01440764/n01440764_{shard * SHARD + i:08d}.JPEG" for i in range(n)],
                "condition": ["clean"] * n, "prediction": rng.integers(0, 10, n), "correct": rng.random(n) < 0.7,
                "label": rng.integers(0, 10, n), "loss": rng.random(n), "confidence": rng.random(n),
            }  # fmt: skip
            schema = schema_of("outcomes")
            given = {k: pa.array(v, schema.field(k).type) for k, v in columns.items()}
            arrays = [given.get(f.name, pa.nulls(n, f.type)) for f in schema]
            run.write_rows(pa.Table.from_arrays(arrays, schema=schema), "outcomes", "clean", shard)
        files = list(Path(folder).rglob("*.parquet"))
        began = time.perf_counter()
        run.finished()
        listed = time.perf_counter()
        run.rows("outcomes", ["id", "prediction", "correct", "label"])
        return {
            "files a condition": float(len(files)),
            "rows a condition, MB": sum(p.stat().st_size for p in files) / 1e6,
            "listing on this disk, s": listed - began,
            "listing of an object store on paper, s": len(files) / 1000 * 0.1,
            "rows of a condition read, s": time.perf_counter() - listed,
        }


def makespan(seconds: np.ndarray, workers: int, *, slow: float = 1.0, dies: bool = False) -> float:
    """When the last shard is finished, if each free worker takes the next.

    Args:
        seconds: of each shard on a usual worker.
        workers: their number.
        slow: how many times as long the first worker takes.
        dies: whether the first worker ends in the middle of its first shard, which another takes over later.
    """
    free = [(0.0, worker) for worker in range(workers)]
    end, left = 0.0, list(seconds[::-1])
    lost: list[tuple[float, float]] = []
    while left or lost:
        now, worker = heapq.heappop(free)
        if dies and worker == 0 and left:
            lost.append((now + STALE_SECONDS, left.pop()))
            dies = False
            continue
        if lost and (now >= lost[0][0] or not left):
            ready, work = lost.pop()
            now = max(now, ready)
        else:
            work = left.pop()
        now += work * (slow if worker == 0 else 1.0)
        end = max(end, now)
        heapq.heappush(free, (now, worker))
    return end


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=int, default=4_000_000)
    parser.add_argument("--images", type=int, default=100_000_000)
    parser.add_argument("--conditions", type=int, default=20)
    parser.add_argument("--workers", type=int, default=256)
    parser.add_argument("--listed", action="store_true", help="ids as a list in run.json, as of small runs")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a usual shard")
    chosen = parser.parse_args()
    print(machine(), end="\n\n")
    half = chosen.measured // 2
    with ProcessPoolExecutor(mp_context=get_context("spawn"), max_tasks_per_child=1) as alone:
        plans = [alone.submit(plan, n, chosen.listed).result() for n in (half, chosen.measured)]
    small, large = ({**p, **report(n)} for p, n in zip(plans, (half, chosen.measured), strict=True))
    more = (chosen.images - chosen.measured) / (chosen.measured - half)
    print(f"| | {half:,} | {chosen.measured:,} | {chosen.images:,}, by growth |\n|---|---|---|---|")
    for name, value in large.items():
        print(f"| {name} | {small[name]:,.2f} | {value:,.2f} | {value + (value - small[name]) * more:,.0f} |")
    print()
    shards = -(-chosen.images // SHARD)
    spread = np.sqrt(np.log(1 + 0.3**2))
    for count in (shards, 10_000):
        seconds = np.random.default_rng(1).lognormal(np.log(chosen.seconds) - spread**2 / 2, spread, count)
        ideal = seconds.sum() / chosen.workers
        print(f"{count:,} shards of {chosen.seconds:g} s on {chosen.workers} workers, evenly {ideal / 3600:.2f} h:")
        for name, trouble in (
            ("no trouble", {}),
            ("one worker ten times as slow", {"slow": 10.0}),
            ("one worker dies, its lease is taken over", {"dies": True}),
        ):
            taken = makespan(seconds, chosen.workers, **trouble)
            print(f"- {name}: {taken / 3600:.2f} h, {taken / ideal:.3f} times as long")


if __name__ == "__main__":
    main()
