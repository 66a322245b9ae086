"""Make the embedded data: the first 100 test images of each class of Fashion-MNIST, as PNG bytes in a parquet file.

    python scripts/make_demo_data.py --data /usr/share/datasets/fashion-mnist --out src/unshaken/data/demo

Rows keep the order of the test set; the id `t10k/00017` is its image 17.
"""

from __future__ import annotations

import argparse
import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

PER_CLASS = 100


def read(folder: Path, name: str, offset: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=offset)


def png(pixels: np.ndarray) -> bytes:
    """The smallest lossless PNG that Pillow makes of an image."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    images = read(options.data, "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = read(options.data, "t10k-labels-idx1-ubyte.gz", 8)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == k)[:PER_CLASS] for k in range(10)]))
    table = pa.table(
        {
            "id": [f"t10k/{i:05d}" for i in chosen],
            "image": pa.array([png(images[i]) for i in chosen], pa.binary()),
            "label": pa.array(labels[chosen].astype(np.int64)),
        }
    )
    target = options.out / "fashion-mnist-1000.parquet"
    pq.write_table(table, target, compression="zstd", row_group_size=500)
    print(f"{target}: {table.num_rows} rows, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
