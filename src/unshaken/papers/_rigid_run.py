"""The sets of pictures, and their scores as rows, for the experiment with RIGID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.screen import Fitted, screen
from unshaken.detect.scores.rigid import RIGID
from unshaken.generate.edm import EDM
from unshaken.papers._rigid_nets import AutoEncoder
from unshaken.papers._rigid_sets import drawings, halved, levels, low_rank, spectrum
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part
from unshaken.stress.corruptions.jpeg_compression import jpeg_compression

SCHEMAS["rigid_scores"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("seed", pa.int64()),
        ("set", pa.string()),
        ("treatment", pa.string()),
        ("how", pa.string()),
        ("score", pa.float64()),
    ]
)
"""One row a picture and way of changing it: `noise-0.05` (lambda in the paper's units) or `blur`."""
SCHEMAS["rigid_content"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("label", pa.int64()),
        ("brightness", pa.float64()),
        ("contrast", pa.float64()),
        ("detail", pa.float64()),
    ]
)
"""What is in a photo: mean and deviation of its pixels, and the mean step from one pixel to the next, in [0, 1]."""

PIXELS = 0.226
"""One unit of normalised noise in [0, 1] pixels: the mean of ImageNet's deviations 0.229, 0.224 and 0.225."""
MAIN = 0.05
STAND_INS = ("bicubic", "nearest", "low-rank", "spectrum", "auto-encoder")
AS_IS, AGAIN = "as-is", "jpeg90"
"""Treatments of all sets alike: none, and once more through a JPEG file."""
KEPT = 3
"""Cosines of a block that the set `low-rank` keeps, of 8 x 8: 9 of 64."""
LIMIT = 8
"""Photos in one pass: few enough to stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Photos:
    """Disjoint photos.

    Args:
        test: what is scored, one batch a seed.
        calibration: what the threshold is set on, one batch a seed.
    """

    test: Sequence[Batch]
    calibration: Sequence[Batch]


class Scoring:
    """A model behind its counted door, and where scores go.

    Args:
        bench: whose run directory.
        model: of the features.
        example: a few photos.
        lambdas: noise levels, in the paper's units; `MAIN` is among them.
        draws: noisy copies at `MAIN`; one at all others.
    """

    def __init__(self, bench: Bench, model: Classifier, example: Tensor, lambdas: Sequence[float], draws: int) -> None:
        self.bench, self.model = bench, model
        with evaluating(model):
            self.anatomy = Anatomy.of(model, example)
            self.copy = search_copy(model, example[:2])
        main = {f"noise-{MAIN:g}": RIGID(sigma=MAIN * PIXELS, draws=draws)}
        others = {f"noise-{v:g}": RIGID(sigma=v * PIXELS, draws=1) for v in lambdas if v != MAIN}
        self.main, self.sweep = main, {**main, **others, "blur": RIGID(perturbation="blur")}

    def put(self, seed: int, name: str, batch: Batch, treatment: str = AS_IS, *, again: bool = False) -> None:
        """Rows of one set; a photo's noise is the same whatever was made of it.

        Args:
            seed: of the noise.
            name: of the set.
            batch: its pictures.
            treatment: what all sets go through.
            again: in another order and in other batches, at `MAIN` alone.
        """
        condition = Condition(f"s{seed}.{name}.{treatment}{'.again' if again else ''}", "rigid")
        if self.bench.run.has_rows("rigid_scores", condition.id, 0):
            return
        if treatment == AGAIN:
            batch = batch.with_images(jpeg_compression(batch.images, 90))
        if again:
            batch = batch[torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))]
        whole = treatment == AS_IS and not again and name != "calibration"
        methods: Mapping[str, RIGID] = self.sweep if whole else self.main
        with evaluating(self.model):
            oracle = Oracle(self.model, limit=LIMIT - 3 if again else LIMIT, search_copy=self.copy)
            fitted = {how: Fitted(method, {}, torch.zeros(0)) for how, method in methods.items()}
            found = screen(fitted, self.anatomy, batch, oracle, seed)
        n = len(batch)
        columns = {
            "id": [i for _ in found for i in batch.ids],
            "seed": [seed] * n * len(found),
            "set": [name] * n * len(found),
            "treatment": [treatment] * n * len(found),
            "how": [how for how in found for _ in range(n)],
            "score": torch.cat([s.score for s in found.values()]).tolist(),
        }
        self.bench.keep([Part("rigid_scores", condition, columns)], 0)

    def describe(self, seed: int, batch: Batch) -> None:
        """What is in the photos of a seed."""
        condition = Condition(f"s{seed}.content", "rigid")
        if self.bench.run.has_rows("rigid_content", condition.id, 0):
            return
        x = batch.images.double().mean(1)
        step = (x.diff(dim=1).abs().mean((1, 2)) + x.diff(dim=2).abs().mean((1, 2))) / 2
        columns = {
            "id": list(batch.ids),
            "label": [None] * len(batch) if batch.labels is None else batch.labels.tolist(),
            "brightness": x.mean((1, 2)).tolist(),
            "contrast": x.flatten(1).std(1).tolist(),
            "detail": step.tolist(),
        }
        self.bench.keep([Part("rigid_content", condition, columns)], 0)


def made_of(photos: Batch, coder: AutoEncoder, seed: int) -> dict[str, Batch]:
    """Stand-ins for generated pictures, controls, and drawings, one for each photo.

    Args:
        photos: on 8-bit levels, H and W multiples of 8.
        coder: the auto-encoder.
        seed: of what is drawn at random.
    """
    x, rng = photos.images, SampleRng.of(seed, "rigid-sets", photos.ids)
    images = {
        "bicubic": halved(x, "bicubic"),
        "nearest": halved(x, "nearest"),
        "low-rank": low_rank(x, KEPT),
        "spectrum": spectrum(x, rng),
        "auto-encoder": levels(coder(x)),
        "jpeg95": jpeg_compression(x, 95),
        "jpeg60": jpeg_compression(x, 60),
        "drawings": drawings(len(x), x.shape[2], rng),
    }
    return {name: photos.with_images(made) for name, made in images.items()}


def small_sets(real: Batch, model: EDM, side: int, seed: int) -> dict[str, Batch]:
    """Small images beside generated ones, all enlarged alike; generated ones once more through a file like the real.

    Args:
        real: images of a JPEG file of quality 75.
        model: that learned from others of their kind.
        side: height and width in pixels of what is scored.
        seed: of what is generated.
    """
    made = levels(model.sample(len(real), seed=seed))
    images = {"small-real": real.images, "small-edm": made, "small-edm-jpeg75": jpeg_compression(made, 75)}
    large = {k: levels(F.interpolate(v, side, mode="bicubic", antialias=True)) for k, v in images.items()}
    return {name: real.with_images(picture) for name, picture in large.items()}
