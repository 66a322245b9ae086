"""Memory and time of an audit as the data grows: photos of 224 px from one parquet file.

    python benchmarks/memory.py --sizes 1000 50000

A parquet file of JPEGs is made in a temporary folder (a few hundred pictures repeated with other labels), then each
size is audited in a process of its own with a small network. Printed: the largest resident memory above the process
that has loaded libraries and model but no data, and milliseconds an image and condition.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

MODEL = """
from torch import nn
def make():
    body = nn.Conv2d(3, 8, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
    return nn.Sequential(*body, nn.Linear(128, 10)).eval()
"""
PLAN = [{"method": "contrast", "severities": [3]}, {"method": "fgsm", "eps": ["2/255"]}]


def make_parquet(path: Path, rows: int) -> None:
    """A file of JPEGs of 224 px in row groups of 1,000."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(200):
        coarse = Image.fromarray(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((224, 224), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        pictures.append(buffer.getvalue())
    schema = pa.schema([("id", pa.string()), ("image", pa.binary()), ("label", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, 1000):
            n = range(first, min(first + 1000, rows))
            columns = [[f"{i:06d}" for i in n], [pictures[i % 200] for i in n], [i % 10 for i in n]]
            writer.write_table(pa.table(columns, schema=schema))


def audit(folder: Path, rows: int) -> dict[str, float]:
    """One audit in this process; the peak of memory above what libraries and model take."""
    import unshaken

    model = f"py:{folder / 'net.py'}:make"
    unshaken.audit(model, f"parquet:{folder / 'data.parquet'}", PLAN, limit=8, out=folder / f"warm{rows}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    out = folder / f"run{rows}"
    result = unshaken.audit(model, f"parquet:{folder / 'data.parquet'}", PLAN, limit=rows, out=out)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rows": rows,
        "above_mib": (after - before) / 1024,
        "peak_mib": after / 1024,
        "ms_an_image": seconds / rows * 1e3,
        "n": result.summary["clean"]["n"],
    }


def main() -> None:
    """Make the file, run each size in its own process, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(audit(Path(options.one[0]), int(options.one[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "net.py").write_text(MODEL)
        make_parquet(folder / "data.parquet", max(options.sizes))
        print("| images | judged | above libraries and model, MiB | peak, MiB | ms an image |\n|---|---|---|---|---|")
        for rows in options.sizes:
            command = [sys.executable, __file__, "--one", name, str(rows)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row = json.loads(done.stdout.splitlines()[-1])
            cells = (row["rows"], row["n"], *(f"{row[k]:.0f}" for k in ("above_mib", "peak_mib")))
            print("|", *(f"{c} |" for c in cells), f"{row['ms_an_image']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
