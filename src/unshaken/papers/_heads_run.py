"""What is trained and looked at in the experiment with three heads, as rows."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.corruptions import Corruptions
from unshaken.harden.recipes.augmentation.noise import noisy
from unshaken.harden.recipes.losses.three_heads import ThreeHeads, cost, heads, original
from unshaken.harden.recipes.losses.three_heads_net import HEADS
from unshaken.harden.surgery.surgery import checksum, interpolate
from unshaken.papers._heads_nets import SECTION, blocks, with_weights
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes
from unshaken.stress.corruptions.contrast import contrast
from unshaken.stress.corruptions.gaussian_blur import correlate_along

SCHEMAS["costs"] = pa.schema(
    [("id", pa.string()), ("condition", pa.string()), ("method", pa.string()), ("value", pa.float64())]
)
"""One row a number: seconds of training, parameters, operations, and whether the original was found again."""

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
CHANGES: Mapping[str, tuple[float, ...]] = {
    "noise": (0.04, 0.08, 0.12),
    "blur": (1, 2, 3),
    "contrast": (0.6, 0.4, 0.25),
}
"""Kind to three strengths: deviation; times that a binomial filter of 5 x 5 is passed; share of the contrast left."""
SHOWN = "gaussian_noise+gaussian_blur+contrast"
"""What is trained on: the same families as the test's, by the published strengths for images of 64 pixels."""
ARMS = ("three", "plain")
"""Three heads with a teacher, and without (partial fine-tuning)."""


def changed(batch: Batch, kind: str, strength: float, seed: int) -> Batch:
    """Test images under one change, with randomness that no training saw."""
    images = batch.images
    if kind == "noise":
        rng = SampleRng.of(seed, f"three-heads/{strength}", batch.ids)
        return batch.with_images(noisy(images, torch.full((len(batch),), strength), rng))
    if kind == "contrast":
        return batch.with_images(contrast(images, strength).clamp(0, 1))
    for _ in range(int(strength)):
        images = correlate_along(correlate_along(images, BINOMIAL, 2), BINOMIAL, 3)
    return batch.with_images(images.clamp(0, 1))


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is trained.

    Args:
        train: images of the large network.
        teacher_train: images of the teacher, those of the large network among them.
        test: images that the figures are of.
        epochs: of the large network.
        teacher_epochs: of the teacher.
        tuning_epochs: of everything that starts from the large network.
    """

    train: int
    teacher_train: int
    test: int
    epochs: int
    teacher_epochs: int
    tuning_epochs: int


class Lab:
    """The experiment.

    Args:
        bench: where the rows go, and the data: it must have the splits train and test.
        sizes: see `Sizes`.

    Raises:
        DataError: the data is absent or too large to be held in memory.
    """

    def __init__(self, bench: Bench, sizes: Sizes) -> None:
        self.bench, self.sizes = bench, sizes
        (self.images, self.labels, self.fingerprint), (images, labels, other) = (
            _split(bench, s) for s in ("train", "test")
        )
        self.order, tests = (
            torch.from_numpy(np.random.Generator(np.random.Philox(bench.seed + i)).permutation(len(several)))
            for i, several in enumerate((self.labels, labels))
        )
        rows = tests[: sizes.test]
        self.test = Batch(images[rows].float() / 255, labels[rows], tuple(str(i) for i in rows.tolist()))
        self.classes = int(self.labels.max()) + 1
        self.key = {"train_data": self.fingerprint, "test_data": other}
        self.cached = True

    def run(self, seeds: int) -> None:
        """Train, look and put all rows."""
        if self.bench.run.has_rows("costs", "read", 0):
            return
        self.values: dict[str, float] = {}
        with track("three heads", 3 + 2 * seeds) as task:
            self.large = self._large()
            self.teacher = self._teacher()
            self.look("original", self.large)
            self.look("teacher", self.teacher)
            task.advance(2)
            for seed in range(seeds):
                for arm in ARMS:
                    self._tuned(arm, seed)
                    task.advance()
            self._full()
            task.advance()
        self.values["from_cache"] = float(self.cached)
        columns = {"id": list(self.values), "value": list(self.values.values())}
        self.bench.keep([Part("costs", Condition("read", "three-heads"), columns)], 0)

    def look(self, label: str, model: Classifier, *, all_heads: bool = False) -> None:
        """Predictions on clean and changed test images; those of each head where there are several."""
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        conditions = [("clean", 0.0), *((kind, s) for kind, strengths in CHANGES.items() for s in strengths)]
        for kind, strength in conditions:
            batch = self.test if kind == "clean" else changed(self.test, kind, strength, self.bench.seed)
            name = f"on-{kind}-{strength:g}"
            with evaluating(model), torch.no_grad():
                parts = [heads(model, x) if all_heads else model(x)[None] for x in torch.split(batch.images, 500)]
            for head, logits in zip(HEADS if all_heads else ("model",), torch.cat(parts, 1), strict=True):
                self.bench.keep([outcomes(Condition(f"{label}.{head}.{name}", kind), batch, logits)], 0)

    # What is trained.

    def _large(self) -> Classifier:
        model = blocks(self.images, self.classes, self.bench.seed)
        training = {"epochs": self.sizes.epochs, "lr": 0.1}
        return self._made("large", model, self.sizes.train, [], training, self.bench.seed)

    def _teacher(self) -> Classifier:
        model = blocks(self.images, self.classes, self.bench.seed + 1, share=0.5)
        training = {"epochs": self.sizes.teacher_epochs, "lr": 0.1}
        recipes = [Corruptions(names=SHOWN, preset="tiny", clean=0.25)]
        return self._made("teacher", model, self.sizes.teacher_train, recipes, training, self.bench.seed + 1)

    def _tuned(self, arm: str, seed: int) -> None:
        recipe = ThreeHeads(section=SECTION, weight=1.0 if arm == "three" else 0.0).taught_by(self.teacher)
        training = {"epochs": self.sizes.tuning_epochs, "lr": 1e-3, "optimizer": "adamw"}
        recipes = [recipe, Corruptions(names=SHOWN, preset="tiny")]
        model = recipe.rebuild(copy.deepcopy(self.large))
        name = f"{arm}{seed}"
        tuned = self._made(name, model, self.sizes.train, recipes, training, 3 * self.bench.seed + seed)
        self.look(name, tuned, all_heads=True)
        same = checksum(original(tuned).net.state_dict()) == checksum(self.large.net.state_dict())
        report = cost(tuned, self.test.images[:1])
        self.values |= {
            f"{name}.original_recovered": float(same),
            "tunable_share": report.share,
            "flops.original": float(report.flops_original),
            "flops.three_heads": float(report.flops_three),
        }

    def _full(self) -> None:
        """All weights on half clean, half changed images: as many views as three heads saw, and WiSE-FT."""
        training = {"epochs": 2 * self.sizes.tuning_epochs, "lr": 1e-3, "optimizer": "adamw"}
        recipes = [Corruptions(names=SHOWN, preset="tiny", clean=0.5)]
        full = self._made("full", copy.deepcopy(self.large), self.sizes.train, recipes, training, 3 * self.bench.seed)
        self.look("full", full)
        middle = interpolate(self.large.net.state_dict(), full.net.state_dict(), 0.5)
        self.look("wise", with_weights(copy.deepcopy(full), middle))

    def _made(
        self, name: str, model: Classifier, count: int, recipes: list[Any], training: dict[str, Any], seed: int
    ) -> Classifier:
        """A trained network, from the cache where it is there, with the seconds that it took."""
        rows = self.order[:count]
        told = [r.info.name + str(r.model_dump(mode="json")) for r in recipes]
        key: dict[str, Any] = {
            "paper": "three-heads",
            "name": name,
            "data": self.fingerprint,
            "seed": [self.bench.seed, seed],
        }
        key |= {"rows": len(rows), "recipes": told, "section": SECTION, **training}
        if name not in ("large", "teacher"):
            key |= {"from": [self.sizes.train, self.sizes.epochs, self.sizes.teacher_train, self.sizes.teacher_epochs]}

        def make() -> dict[str, Tensor]:
            began = time.perf_counter()
            rare = {"held_out": 1, "check_images": 1, "check_every": training["epochs"], "select": "last"}
            options = Training(seed=seed, **rare, **training)
            fitted = fit(model, self.images[rows], self.labels[rows], recipes, options, classes=self.classes)
            return dict(fitted.last.net.state_dict()) | {"seconds": torch.tensor(time.perf_counter() - began)}

        weights, found = cached_weights(key, make)
        self.cached &= found
        self.values[f"{name}.seconds"] = float(weights.pop("seconds"))
        return with_weights(model, weights)


def _split(bench: Bench, split: str) -> tuple[Tensor, Tensor, str]:
    """Images as bytes, labels, and the fingerprint of a split."""
    joint = "&" if "?" in bench.data else "?"
    dataset = load_data(f"{bench.data}{joint}split={split}", download=bench.download)
    samples = Samples(dataset, None, len(dataset.classes) or 1)
    if samples.resident is None:
        raise DataError(f"data {bench.data!r} is too large for this experiment: give small images, as with ?size=32")
    return samples.resident, samples.labels[torch.from_numpy(samples.good)], dataset.fingerprint
