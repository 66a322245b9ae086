"""Small vision transformers pretrained in three ways, tuned alike, attacked and cut to low frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.pretraining.mae import MaskedAutoencoding
from unshaken.measure import accuracy, compare
from unshaken.measure.robustness.frequency import low_pass
from unshaken.papers._mae_nets import Split
from unshaken.papers._training import cached
from unshaken.papers.base import Bench
from unshaken.run.rows import Condition, outcomes
from unshaken.run.store import RunDir

ARMS = ("pixels", "features", "none")
EPS = (0.5 / 255, 1 / 255, 2 / 255)
LOW = (4, 8, 12)
STEPS = 10
LAYER, FEATURES = "body.2", 40
COMMON: Mapping[str, Any] = {"optimizer": "adamw", "weight_decay": 0.05, "select": "last", "held_out": 100}


@dataclass(frozen=True, slots=True)
class Pretraining:
    """The comparison.

    Args:
        bench: where the rows go.
        split: images.
        pretrain: epochs of rebuilding, and of the teacher.
        tune: epochs of learning the classes, the same for all.
    """

    bench: Bench
    split: Split
    pretrain: int
    tune: int

    def run(self) -> None:
        """All rows that are not there yet."""
        for arm in ARMS:
            if not self.bench.run.has_rows("outcomes", f"vit-{arm}.low-{LOW[-1]}", 0):
                self.measure(arm, self.trained(arm))

    def trained(self, arm: str) -> Classifier:
        """Pretrained, then tuned."""
        tuning = self.training(self.tune, 1e-3)

        def make() -> Classifier:
            model = fresh("small-vit", self.split.images, classes=self.split.classes, seed=self.bench.seed)
            if arm != "none":
                model = self.fit(model, [self.recipe(arm)], self.training(self.pretrain, 2e-3))
            return self.fit(model, [], tuning)

        return cached(self.key(arm), "small-vit", make)[0]

    def recipe(self, arm: str) -> MaskedAutoencoding:
        """What is rebuilt."""
        if arm == "pixels":
            return MaskedAutoencoding(seed=self.bench.seed)
        return MaskedAutoencoding(
            target="features", teacher=self.teacher(), layer=LAYER, features=FEATURES, seed=self.bench.seed
        )

    def teacher(self) -> str:
        """A small network that has learned the classes from the same images, as a SPEC."""

        def make() -> Classifier:
            model = fresh("small-cnn", self.split.images, classes=self.split.classes, seed=self.bench.seed)
            return self.fit(model, [], self.training(self.pretrain, 3e-3))

        return cached(self.key("teacher"), "small-cnn", make)[0].name

    def fit(self, model: Classifier, recipes: list[MaskedAutoencoding], training: Training) -> Classifier:
        """As the loop leaves it."""
        return fit(model, self.split.images, self.split.labels, recipes, training, classes=self.split.classes).last

    def training(self, epochs: int, lr: float) -> Training:
        """The same for all but length and rate."""
        return Training(epochs=epochs, lr=lr, check_every=epochs, seed=self.bench.seed, **COMMON)

    def key(self, arm: str) -> dict[str, Any]:
        """What decides the weights."""
        sizes = {"train": len(self.split.images), "pretrain": self.pretrain, "tune": self.tune}
        return {"data": self.split.fingerprint, "arm": arm, "seed": self.bench.seed, **sizes, **COMMON}

    def measure(self, arm: str, model: Classifier) -> None:
        """Clean, attacked, and cut to low frequencies."""
        batch = self.split.test
        with evaluating(model):
            oracle = Oracle(model, limit=256)
            clean = oracle.exact(batch.images)
            self.bench.keep([outcomes(Condition(f"vit-{arm}.clean", "clean"), batch, clean)], 0)
            found, _ = PGD(steps=STEPS, step_size=0.25).attack(
                oracle, batch, norm="linf", eps=EPS, seed=self.bench.seed, clean=clean
            )
            for eps, one in zip(EPS, found, strict=True):
                condition = Condition(f"vit-{arm}.pgd-{255 * eps:g}", "pgd", eps=eps, norm="linf")
                self.bench.keep([outcomes(condition, batch, one.logits)], 0)
            for radius in LOW:
                logits = oracle.exact(low_pass(batch.images, radius).clamp(0, 1))
                self.bench.keep([outcomes(Condition(f"vit-{arm}.low-{radius}", "clean"), batch, logits)], 0)


def pretraining_figures(run: RunDir) -> dict[str, Any]:
    """Accuracy of every arm under everything, and pixels minus features, from rows."""
    table = run.rows("outcomes", ["id", "condition", "correct"])

    def right(label: str) -> Any:
        rows = table.filter(pc.equal(table["condition"], label)).sort_by("id")
        return rows["correct"].to_numpy(zero_copy_only=False).astype(bool)

    conditions = ["clean", *(f"pgd-{255 * e:g}" for e in EPS), *(f"low-{r}" for r in LOW)]
    found: dict[str, Any] = {arm: {c: accuracy(right(f"vit-{arm}.{c}")).to_json() for c in conditions} for arm in ARMS}
    found["pixels_minus_features"] = {
        c: compare(right(f"vit-features.{c}"), right(f"vit-pixels.{c}")).difference.to_json() for c in conditions
    }
    return found


def settled(figure: Mapping[str, Any]) -> bool:
    """Whether a difference's interval leaves out nought."""
    return bool(figure["low"] > 0 or figure["high"] < 0)
