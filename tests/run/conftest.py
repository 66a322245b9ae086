"""A tiny model, tiny data and runs of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from unshaken.core import Classifier
from unshaken.data import load_data
from unshaken.models import fingerprint
from unshaken.run import Job, load_plan
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir


class TinyNet(nn.Module):
    """Two convolutions and a linear layer with fixed random weights."""

    def __init__(self, classes: int = 3, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.head = nn.Linear(6, classes)
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.6)
            noise = torch.rand(64, channels, 10, 10, generator=generator)
            self.head.bias -= self(noise).mean(0)  # so that every class is met, and none is far

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x).relu()).relu().mean((2, 3)))


PLAN = [
    {"method": "gaussian_noise", "severities": [1, 3]},
    {"method": "contrast", "severities": [5]},
    {"method": "pgd", "params": {"steps": 4, "restarts": 2}, "eps": [0.01, 0.04]},
]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_data(path: Path, n: int = 40, *, bad: tuple[int, ...] = (), labelled: bool = True, side: int = 10) -> str:
    """Grey pictures, mostly labelled as the tiny net predicts them; `bad` ones are no pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side), np.uint8)
    with torch.no_grad():
        labels = TinyNet()(torch.from_numpy(pixels)[:, None] / 255).argmax(1).numpy()
    labels = np.where(np.arange(n) % 7 == 3, (labels + 1) % 3, labels)
    images = [b"nothing" if i in bad else png(p) for i, p in enumerate(pixels)]
    columns: dict[str, Any] = {"image": pa.array(images, pa.binary()), "id": [f"s{i:03d}" for i in range(n)]}
    if labelled:
        columns["label"] = pa.array(labels, pa.int64())
    pq.write_table(pa.table(columns), path)
    return f"parquet:{path}"


@pytest.fixture
def tiny() -> Classifier:
    """The tiny net, in evaluation mode."""
    return Classifier(TinyNet(), name="tiny").eval()


def make_into(folder: Path, tiny: Classifier | None = None) -> SimpleNamespace:
    """What the tests build from: data in a folder, and jobs."""
    tiny = tiny or Classifier(TinyNet(), name="tiny").eval()
    count = iter(range(1000))

    def data(n: int = 40, **options: Any) -> str:
        return write_data(folder / f"data-{next(count)}.parquet", n, **options)

    def job(run: RunDir | str | Path, spec: str, **options: Any) -> Job:
        plan = load_plan(options.pop("plan", PLAN))
        model = options.pop("model", tiny)
        dataset = load_data(spec)
        limit = options.pop("limit", 64)  # images in one pass, not the run's number of samples
        given = {k: options.pop(k) for k in list(options) if k in RunConfig.model_fields}
        config = RunConfig(
            schema=1,
            **{
                "model": "tiny",
                "data": spec,
                "plan": plan,
                "ids": list(dataset.ids),
                "shard_size": 16,
                "model_fingerprint": fingerprint(model),
                "data_fingerprint": dataset.fingerprint,
                "model_name": "tiny",
                "classes": ["a", "b", "c"],
                "save_examples": 3,
                **given,
            },
        )
        run = run if isinstance(run, RunDir) else RunDir(run)
        return Job(run=run, config=config, model=model, dataset=dataset, limit=limit, workers=1, **options)

    return SimpleNamespace(data=data, job=job, png=png, folder=folder)


@pytest.fixture
def make(tmp_path: Path, tiny: Classifier) -> SimpleNamespace:
    """What the tests build from, in a folder of the test's own."""
    return make_into(tmp_path, tiny)


@pytest.fixture(scope="session")
def make_in() -> Callable[[Path], SimpleNamespace]:
    """What the tests build from, in a folder that is given."""
    return make_into


TIMES = {"seconds"}


def table_rows(run: RunDir, table: str = "outcomes") -> dict[tuple[str, str], dict[str, Any]]:
    """Rows by condition and id, seconds left out."""
    rows = run.rows(table).to_pylist()
    found = {(r["condition"], r["id"]): {k: v for k, v in r.items() if k not in TIMES} for r in rows}
    if len(found) != len(rows):
        raise AssertionError(f"{len(rows) - len(found)} rows are there twice")
    return found


@pytest.fixture
def rows_of() -> Callable[[RunDir], dict[tuple[str, str], dict[str, Any]]]:
    return table_rows
