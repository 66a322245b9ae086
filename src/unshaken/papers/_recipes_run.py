"""The arms of the experiment with training recipes: nets from the cache or trained, and their rows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.registry import find_method, parse_method
from unshaken.core.search_copy import search_copy
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Context, Part, outcomes

TRAINING = pa.schema(
    [
        ("condition", pa.string()),
        ("method", pa.string()),
        ("epoch", pa.int32()),
        ("name", pa.string()),
        ("value", pa.float64()),
    ]
)
"""One row an arm, an epoch and a figure of its training."""
SCHEMAS["training"] = TRAINING

CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arm:
    """One training.

    Args:
        name: of its rows.
        recipes: `NAME[:k=v,...]`.
        data: SPEC of the training images.
        images: to train on and to hold out.
        training: what differs from the defaults.
        arch: of the net.
        last: the net after the last step is measured, not the chosen one.
    """

    name: str
    recipes: Sequence[str]
    data: str
    images: int
    training: Mapping[str, Any] = field(default_factory=dict)
    arch: str = "small"
    last: bool = False


class Arms:
    """Trains arms and puts their rows.

    Args:
        bench: where the rows go.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._samples: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    def samples(self, spec: str, n: int) -> tuple[Tensor, Tensor]:
        """Bytes and labels of a stratified part of a data set."""
        if (spec, n) not in self._samples:
            dataset = load_data(spec, download=self.bench.download)
            found = Samples(dataset, None, len(dataset.classes), limit=n, seed=self.bench.seed)
            whole = found.whole(found.good)
            labels = whole.labels if whole.labels is not None else torch.zeros(0, dtype=torch.int64)
            self._samples[spec, n] = whole.images.mul(255).round().to(torch.uint8), labels
        return self._samples[spec, n]

    def test(self, spec: str, n: int) -> Batch:
        """A stratified part of a test set."""
        images, labels = self.samples(spec, n)
        return Batch(images.float() / 255, labels, tuple(str(i) for i in range(len(images))))

    def net(self, arm: Arm) -> Classifier:
        """The trained net, and the rows of its epochs."""
        images, labels = self.samples(arm.data, arm.images)
        classes = int(labels.max()) + 1
        training = Training(seed=self.bench.seed, **arm.training)
        model = fresh(arm.arch, images, classes=classes, seed=self.bench.seed)

        def train() -> dict[str, Tensor]:
            recipes = [parse_method(text, "harden") for text in arm.recipes]
            made = fit(
                fresh(arm.arch, images, classes=classes, seed=self.bench.seed), images, labels, recipes, training
            )
            curves = json.dumps({"curves": made.progress.curves, "flags": made.progress.flags}).encode()
            kept = (made.last if arm.last else made.model).net.state_dict()
            return {**kept, "curves": torch.frombuffer(bytearray(curves), dtype=torch.uint8)}

        key = {
            "data": arm.data, "images": images.shape[0], "sum": int(images.long().sum()), "arch": arm.arch,
            "recipes": list(arm.recipes), "training": training.model_dump(mode="json"), "last": arm.last,
        }  # fmt: skip
        weights, _ = cached_weights(key, train)
        told = json.loads(bytes(weights.pop("curves").tolist()))
        model.net.load_state_dict(weights)
        self._epochs(arm, told["curves"], told["flags"])
        return model.eval()

    def _epochs(self, arm: Arm, curves: list[dict[str, float]], flags: Mapping[str, str]) -> None:
        condition = Condition(f"train.{arm.name}", "training")
        if self.bench.run.has_rows("training", condition.id, 0):
            return
        rows = [(int(c["epoch"]), k, v) for c in curves for k, v in c.items() if k != "epoch"]
        rows += [(len(curves), f"flag:{name}", 1.0) for name in flags]
        columns = dict(zip(("epoch", "name", "value"), map(list, zip(*rows, strict=True)), strict=True))
        self.bench.keep([Part("training", condition, columns)], 0)

    def clean(self, arm: str, model: Classifier, batch: Batch) -> None:
        """Predictions on unchanged images."""
        condition = Condition(f"clean.{arm}", "clean")
        if not self.there(condition):
            self.bench.keep([outcomes(condition, batch, self._logits(model, batch.images))], 0)

    def attacked(self, arm: str, model: Classifier, batch: Batch, eps: float) -> None:
        """AutoAttack."""
        attack = AutoAttack(mode="fast")
        conditions = attack.conditions(label=f"aa.{arm}", severities=(), eps=[eps], norm="linf")
        if self.there(conditions[0]):
            return
        with evaluating(model):
            oracle = Oracle(model, search_copy=search_copy(model, batch.images[:2]))
            context = Context(oracle, self.bench.seed, oracle.exact(batch.images))
            self.bench.keep(attack.evaluate(batch, conditions, context), 0)

    def corrupted(self, arm: str, model: Classifier, batch: Batch) -> None:
        """The fifteen corruptions at five severities."""
        for name, severity in itertools.product(CORRUPTIONS, range(1, 6)):
            condition = Condition(f"{arm}.{name}-{severity}", name, severity=severity)
            if not self.there(condition):
                shown = find_method(name).cls().apply(batch, severity, self.bench.seed)
                self.bench.keep([outcomes(condition, batch, self._logits(model, shown.images))], 0)

    def there(self, condition: Condition) -> bool:
        """Whether its rows are finished."""
        return self.bench.run.has_rows("outcomes", condition.id, 0)

    def _logits(self, model: Classifier, images: Tensor) -> Tensor:
        with evaluating(model):
            return Oracle(model, limit=500).exact(images)
