"""Tiny real data of every form."""

import gzip
import io
import struct
import sys
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch, tmp_path):
    monkeypatch.delenv("UNSHAKEN_DATA", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))


@pytest.fixture
def make():
    return types.SimpleNamespace(noise=noise, encode=encode, table=table, idx=idx)


def noise(height=10, width=12, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encode(pixels, form="PNG", **options):
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, form, **options)
    return file.getvalue()


def table(path, images, *, row_group_size=None, **columns):
    rows = pa.table({"image": pa.array(images, pa.binary()), **columns})
    pq.write_table(rows, path, row_group_size=row_group_size)
    return f"parquet:{path}"


def idx(folder, images, labels, prefix="t10k", packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        data = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()
        path = folder / f"{prefix}-{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(data) if packed else data)
    return f"idx:{folder}"


@pytest.fixture
def absent(monkeypatch):
    """Makes a package absent."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture(autouse=True)
def trusted_parquet(request, monkeypatch):
    """Tables made by these tests are read at once; `test_parquet_check` has the other process read them first."""
    if request.path.name != "test_parquet_check.py":
        monkeypatch.setattr("unshaken.data.parquet.check_parquet", lambda *_: None)
