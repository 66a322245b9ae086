"""Small data sets, and one tiny run of each row, made once and shared by the row's own tests and the battery.

A row enters the battery by a line in `TINY`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unshaken.attack import AutoAttack
from unshaken.papers import PaperResult, run_paper


def make_tints(folder: Path, train: int = 540, test: int = 40, side: int = 12, classes: int = 3) -> str:
    """Noise in three tints, as Parquet with the splits train and test; small networks learn it at once.

    Of six classes the last three have a brighter upper half.
    """
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", train), ("test", test)):
        for i in range(n):
            pixels = rng.integers(0, 120, (side, side, 3)).astype(np.uint8)
            pixels[..., i % 3] += 100
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


def make_stripes(folder: Path) -> str:
    """Grey noise with a bright line for each of three classes, as folders of PNG; 60 training and 30 test images."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 60), ("test", 30)):
        for i in range(n):
            place = folder / split / f"class{i % 3}"
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 120, (8, 8)).astype(np.uint8)
            pixels[i % 3] += 100
            Image.fromarray(pixels).save(place / f"{i}.png")
    return f"folder:{folder}"


@dataclass(frozen=True)
class Tiny:
    """How a row is run in a few seconds.

    Args:
        parameters: as after the slug on the command line.
        make: writes the data into a folder, and gives its SPEC.
        other: a parameter with another value, which a resumed run must refuse.
        patches: module attribute to a smaller value, for sizes that are no parameters.
    """

    parameters: str
    make: Callable[[Path], str]
    other: str
    patches: Mapping[str, object] = field(default_factory=dict)


TINY: dict[str, Tiny] = {
    "accuracy-disparity": Tiny(
        "seeds=2,samples=400,majority=0,minority=1,largest=40,net_seeds=2,net_largest=40,epochs=1",
        make_bands,
        "largest=39",
    ),
    "adversarial-training": Tiny(
        "images=200,epochs=1,tested=40,attacked=2",
        make_tints,
        "epochs=2",
        {"unshaken.papers.adversarial_training.experiment.AutoAttack": partial(AutoAttack, queries=50)},
    ),
    "crossmax-ensemble": Tiny("photos=20,images=160,epochs=2,seeds=1,steps=3", make_tints, "steps=4"),
    "dverge": Tiny("photos=30,attacked=12,images=520,baseline=8,epochs=2,steps=5", make_tints, "epochs=3"),
    "efficient-robustify": Tiny(
        "seeds=1,train=100,teacher_train=120,test=16,epochs=1,teacher_epochs=1,tuning_epochs=1", make_tints, "test=15"
    ),
    "fgsm-cw-distillation": Tiny(
        "train=200,test=40,attacked=16,nearest=6,epochs=2,longer=2,cw_steps=20,cw_searches=3",
        partial(make_tints, classes=6),
        "cw_steps=10",
    ),
    "mahalanobis": Tiny("seeds=2,train=400,epochs=10,images=90,tune=30", make_bands, "tune=31"),
    "mixup-calibration": Tiny(
        "seeds=2,largest=2,epochs=1,gaussian_epochs=1,photos=40,photo_epochs=1", make_stripes, "epochs=2"
    ),
    "robust-weight-signatures": Tiny(
        "seeds=2,pretraining=120,tuning=80,validation=12,test=24,epochs=6,tuning_epochs=1", make_tints, "test=23"
    ),
    "token-attention": Tiny("train=96,test=30,epochs=1,tune=1,seeds=1,looked=10,threshold=0.9", make_tints, "looked=9"),
    "tract": Tiny("train=200,test=27,choosing=13,epochs=3,rates=0.05+0.2,vit_epochs=1", make_tints, "ridge=0.2"),
}


@dataclass(frozen=True)
class Finished:
    """A tiny run.

    Args:
        text: slug and parameters.
        data: SPEC.
        out: the run directory.
        cache: the folder of trained networks.
        result: of the first run.
    """

    text: str
    data: str
    out: Path
    cache: Path
    result: PaperResult


@pytest.fixture(scope="session")
def tints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """See `make_tints`."""
    return make_tints(tmp_path_factory.mktemp("tints"))


@pytest.fixture(scope="session")
def tiny_runs() -> dict[str, Tiny]:
    """How each row is run in a few seconds."""
    return TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Finished]]:
    """From a slug to its tiny run, made at the first call; its cache and patches stay in place for later runs."""
    known: dict[str, Finished] = {}
    with pytest.MonkeyPatch.context() as patch:

        def run(slug: str) -> Finished:
            tiny = TINY[slug]
            if slug not in known:
                folder = tmp_path_factory.mktemp(slug)
                images, cache = folder / "images", folder / "cache"
                images.mkdir()
                patch.setenv("UNSHAKEN_CACHE", str(cache))
                for name, value in tiny.patches.items():
                    patch.setattr(name, value)
                text, data = f"{slug}:{tiny.parameters}", tiny.make(images)
                known[slug] = Finished(
                    text, data, folder / "run", cache, run_paper(text, out=folder / "run", data=data)
                )
            patch.setenv("UNSHAKEN_CACHE", str(known[slug].cache))
            return known[slug]

        yield run
