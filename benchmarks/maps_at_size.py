"""Memory of maps of a whole data set as it grows: images of 32 px, a small network, the run directory on disk.

    python benchmarks/maps_at_size.py --sizes 2000 50000
    python benchmarks/maps_at_size.py --sizes 2000 --methods gradcam smoothgrad:samples=4 --metrics deletion:steps=4

A parquet file of PNGs is made in a temporary folder (some hundred pictures repeated), then each size is explained by
`unshaken.explain` in a process of its own. Printed: seconds, milliseconds an image and method, and the resident memory
above that of a process that has explained 64 images: its largest value in each tenth of the run, and at its end. A
memory that is flat has the same value in all tenths and at all sizes. The last tenth holds the summary and the page.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

NET = """
from torch import nn
def make():
    body = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10)).eval()
"""
EVERY = 0.05
"""Seconds between two looks at the memory."""


def make_parquet(path: Path, rows: int) -> None:
    """A file of PNGs of 32 px in row groups of 1,000."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(300):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    schema = pa.schema([("id", pa.string()), ("image", pa.binary()), ("label", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, 1000):
            n = range(first, min(first + 1000, rows))
            columns = [[f"{i:06d}" for i in n], [pictures[i % 300] for i in n], [i % 10 for i in n]]
            writer.write_table(pa.table(columns, schema=schema))


class MemoryWatch(threading.Thread):
    """Notes the resident memory of this process by time, in MiB above what it was when it began."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process, self._over = psutil.Process(), threading.Event()
        self.start_mib = self._mib()
        self.notes: list[tuple[float, float]] = []

    def _mib(self) -> float:
        return self._process.memory_info().rss / 2**20

    def run(self) -> None:
        """Note until `finish`."""
        while not self._over.wait(EVERY):
            self.notes.append((time.perf_counter(), self._mib() - self.start_mib))

    def finish(self) -> tuple[list[float], float]:
        """The largest memory of each tenth of the time, and the last."""
        self._over.set()
        self.join()
        times, found = (np.array(column) for column in zip(*self.notes, strict=True))
        tenth = np.minimum(9, (times - times[0]) / max(1e-9, times[-1] - times[0]) * 10).astype(int)
        return [float(found[tenth == t].max()) for t in range(10) if (tenth == t).any()], float(found[-1])


def explain(folder: Path, rows: int, methods: list[str], metrics: list[str]) -> dict[str, Any]:
    """One run in this process."""
    import torch

    import unshaken

    torch.set_num_threads(1)
    model, data = f"py:{folder / 'net.py'}:make", f"parquet:{folder / 'data.parquet'}"
    unshaken.explain(model, data, methods, metrics=metrics, limit=64, out=folder / f"warm{rows}")
    watch = MemoryWatch()
    watch.start()
    began = time.perf_counter()
    unshaken.explain(model, data, methods, metrics=metrics, limit=rows, out=folder / f"run{rows}", save_maps=1000)
    seconds = time.perf_counter() - began
    tenths, last = watch.finish()
    return {"images": rows, "seconds": seconds, "tenths": tenths, "last": last}


def main() -> None:
    """Every size in a process of its own, as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 50000])
    parser.add_argument("--methods", nargs="+", default=["gradcam", "input-x-gradient"])
    parser.add_argument("--metrics", nargs="*", default=[])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one is not None:
        print(json.dumps(explain(chosen.folder, chosen.one, chosen.methods, chosen.metrics)))
        return
    print("| images | seconds | ms an image and method | memory MiB, by tenths of the run | at the end |")
    print("|---:|---:|---:|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "net.py").write_text(NET)
        make_parquet(Path(folder) / "data.parquet", max(chosen.sizes))
        for size in chosen.sizes:
            command = [sys.executable, __file__, *sys.argv[1:], "--folder", folder, "--one", str(size)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            tenths = " ".join(f"{mib:.0f}" for mib in found["tenths"])
            each = found["seconds"] / size / len(chosen.methods) * 1e3
            print(f"| {size} | {found['seconds']:.1f} | {each:.2f} | {tenths} | {found['last']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
