"""Small data sets on which networks learn at once, and `Tiny`: how the battery runs a row in a few seconds."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from unshaken.harden.engine.fit import fresh
from unshaken.models import save_model
from unshaken.papers import Paper


@dataclass(frozen=True)
class Tiny:
    """How a row is run in a few seconds, at the sizes of its `[sizes.tiny]`.

    Args:
        make: writes the data into a folder, and gives its SPEC; None for the row's own.
        parameters: further ones, that are no sizes; `{folder}` stands for that of the data.
        patches: module attribute to a smaller value, for sizes that are no parameters.
        model: writes a model into the folder, and gives its SPEC; None for the row's own.
        wall_times: ends of the names of figures that a resumed run measures anew.
        needs: modules of extras without which the row is not run.
    """

    make: Callable[[Path], str] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    patches: Mapping[str, object] = field(default_factory=dict)
    model: Callable[[Path], str] | None = None
    wall_times: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def data(self, folder: Path, row: type[Paper]) -> str:
        """The SPEC of the data of a row, after they were written into a folder."""
        return row.data if self.make is None else self.make(folder)


def make_tints(
    folder: Path, train: int = 540, test: int = 40, side: int = 12, classes: int = 3, brighter: int = 100
) -> str:
    """Noise in three tints, as Parquet with the splits train and test; small networks learn it at once.

    Of six classes the last three have a brighter upper half.
    """
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", train), ("test", test)):
        for i in range(n):
            pixels = rng.integers(0, 120, (side, side, 3)).astype(np.uint8)
            pixels[..., i % 3] += brighter
            pixels[: side // 2] += 30 * (i % classes > 2)
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i:03}", out.getvalue(), i % classes, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "tints.parquet")
    return f"parquet:{folder}/tints.parquet"


def make_bands(folder: Path, classes: int = 5) -> str:
    """Colour noise with a brighter band for each class, as folders of PNG; 100 training and 40 test images a class."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 100), ("test", 40)):
        for c in range(classes):
            place = folder / split / f"class{c}"
            place.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                pixels = rng.integers(0, 120, (12, 12, 3)).astype(np.uint8)
                pixels[2 * c : 2 * c + 3] += 18
                Image.fromarray(pixels).save(place / f"{i}.png")
    return f"folder:{folder}"


def make_colours(folder: Path) -> str:
    """Noise around four colours, as Parquet with 132 training and 44 test images; `?split=` may follow."""
    rng = np.random.default_rng(0)
    colours = np.array([[150, 60, 60], [60, 150, 60], [60, 60, 150], [140, 140, 60]])
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 132), ("test", 44)):
        for i in range(n):
            pixels = np.clip(colours[i % 4] + rng.normal(0, 45, (16, 16, 3)), 0, 255).astype(np.uint8)
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), i % 4, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "colours.parquet")
    return f"parquet:{folder}/colours.parquet"


def make_rows(folder: Path) -> str:
    """Grey noise with a bright row for each of ten classes, as Parquet with 300 training and 80 test images."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 300), ("test", 80)):
        for i in range(n):
            pixels = rng.integers(0, 60, (28, 28)).astype(np.uint8)
            pixels[2 * (i % 10) + 3] += 150
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i:03}", out.getvalue(), i % 10, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    return f"parquet:{folder}/rows.parquet"


def untrained_cnn(classes: int) -> Callable[[Path], str]:
    """Writes an untrained `small-cnn` for colour images of 32 pixels into a folder, and gives its SPEC."""

    def make(folder: Path) -> str:
        images = torch.randint(0, 255, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
        save_model(fresh("small-cnn", images, classes=classes, seed=0), folder / "net", arch="small-cnn")
        return f"run:{folder}/net"

    return make


def make_faint_tints(folder: Path, train: int = 150, test: int = 60, brighter: int = 60) -> str:
    """Noise of 16 pixels with one bright colour, the label, as Parquet with the splits train and test."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", train), ("test", test)):
        labels, images = rng.integers(0, 3, n), rng.integers(0, 120, (n, 16, 16, 3)).astype(np.uint8)
        for i, (pixels, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            pixels[..., label] += brighter
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), label, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "tints.parquet")
    return f"parquet:{folder}/tints.parquet"
