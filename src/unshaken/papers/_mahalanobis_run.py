"""What is fitted, attacked and scored for the experiment with Mahalanobis distances, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_points import end_points
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.data.in_memory import InMemory
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Detector
from unshaken.detect.engine.door import Door
from unshaken.detect.engine.fitting import Shares
from unshaken.detect.engine.fitting import fit as fit_detectors
from unshaken.detect.engine.screen import looks
from unshaken.detect.scores.mahalanobis import Mahalanobis
from unshaken.detect.scores.msp import MSP
from unshaken.papers._mahalanobis_nets import World, trained
from unshaken.papers.base import Bench
from unshaken.run.rows import Condition, Part

EPS = (0.001, 0.005)
"""Input steps, in [0, 1] pixel units, that the tuned last layer may choose from beside none."""
ATTACKS: dict[str, tuple[Attack[Any], float]] = {
    "fgsm-8": (FGSM(), 8 / 255),
    "pgd-8": (PGD(steps=10, step_size=0.25), 8 / 255),
    "pgd-2": (PGD(steps=10, step_size=0.25), 2 / 255),
}
RATES = (0.2, 0.4)
"""Shares of the labels that are drawn anew before a fit, beside none."""


class Study:
    """One network, its detectors, and their scores.

    Args:
        bench: where rows go.
        given: the images.
        settings: `epochs` of training and `tune`, images of each set that weights and steps are tuned on.
    """

    def __init__(self, bench: Bench, given: World, settings: Mapping[str, int]) -> None:
        self.bench, self.given, self.settings = bench, given, settings
        self.cached: list[bool] = []

    def run(self, seeds: Sequence[int]) -> None:
        """Put all rows that are not there yet."""
        with track("distances", len(seeds) * (1 + len(RATES))) as task:
            for seed in seeds:
                model, found = trained(self.given, self.bench.model, self.settings["epochs"], seed)
                self.cached.append(found)
                self.detectors(model, seed)
                task.advance()
                for rate in RATES:
                    self.noisy(model, seed, rate)
                    task.advance()

    def detectors(self, model: Classifier, seed: int) -> None:
        """All detectors on all sets."""
        sets = {"normal": self.given.normal, **self.given.abnormal}
        names = [*sets, *ATTACKS, *(f"noisy-{e}" for e in (8, 2))]
        if all(self.there(f"s{seed}.{name}") for name in names):
            return
        layers = self.layers(model)
        every = "+".join(layers)
        methods: dict[str, Detector] = {"msp": MSP()}
        methods |= {f"layer{i + 1}": Mahalanobis(layer=n) for i, n in enumerate(layers)}
        methods |= {f"step-{e:g}": Mahalanobis(layer=layers[-1], eps=e) for e in EPS}
        methods |= {"equal": Mahalanobis(layer=every), "fgsm": Mahalanobis(layer=every, weights="fgsm")}
        door = self.fitted(model, self.given.labels, list(methods.values()), seed)
        for name in names:
            if not self.there(f"s{seed}.{name}"):
                self.keep(f"s{seed}.{name}", door, list(methods), sets.get(name) or self.changed(model, name, seed))

    def noisy(self, model: Classifier, seed: int, rate: float) -> None:
        """The last layer and the ensemble, fitted with some labels drawn at random."""
        sets = {"normal": self.given.normal, **self.given.abnormal}
        left = [name for name in sets if not self.there(f"s{seed}.noise{rate:g}.{name}")]
        if not left:
            return
        layers = self.layers(model)
        methods: list[Detector] = [Mahalanobis(layer=layers[-1]), Mahalanobis(layer="+".join(layers))]
        door = self.fitted(model, redrawn(self.given.labels, rate, seed), methods, seed)
        for name in left:
            self.keep(f"s{seed}.noise{rate:g}.{name}", door, [f"layer{len(layers)}", "equal"], sets[name])

    def layers(self, model: Classifier) -> tuple[str, ...]:
        """Every block of a small network; of others one layer for each size of the picture."""
        blocks = [n for n, _ in model.net.named_modules() if n.startswith("body.") and n.count(".") == 1]
        return tuple(blocks) or Anatomy.of(model, self.given.normal.images[:2]).stages

    def fitted(self, model: Classifier, labels: Tensor, methods: list[Detector], seed: int) -> Door:
        """On the training images."""
        data = InMemory(self.given.images, labels, classes=[str(c) for c in range(int(labels.max()) + 1)])
        shares = Shares(keep=1000, tune=500, calibration=0.02)
        return fit_detectors(model, data, methods, shares=shares, seed=seed).door

    def changed(self, model: Classifier, name: str, seed: int) -> Batch:
        """Normal images under an attack, or with Gaussian noise as long as that attack's step."""
        batch, kind, size = self.given.normal, *name.split("-")
        if kind == "noisy":
            drawn = SampleRng.of(seed, "noisy", batch.ids).normal(*batch.images.shape[1:])
            return batch.with_images((batch.images + int(size) / 255 * drawn).clamp(0, 1))
        attack, eps = ATTACKS[name]
        ends = end_points(model, attack, batch, norm="linf", eps=eps, seed=seed)
        return batch.with_images((ends.x * 255).round() / 255)  # what a user would receive

    def keep(self, condition: str, door: Door, names: list[str], batch: Batch) -> None:
        """Rows of all detectors on one set; `prediction` is the model's, or the class nearest in a single layer."""
        said = self.said(door, batch)
        n, split = len(batch), ["tune" if i < self.settings["tune"] else "test" for i in range(len(batch))]
        labels = [None] * n if batch.labels is None else batch.labels.tolist()
        columns: dict[str, list[Any]] = {}
        for name, (label, scored) in zip(names, door.examine(batch).items(), strict=True):
            own = {"id": batch.ids, "detector": [name] * n, "split": split, "label": labels}
            for key, values in {**own, "score": scored.score.tolist(), "prediction": said[label].tolist()}.items():
                columns.setdefault(key, []).extend(values)
        self.bench.keep([Part("scores", Condition(condition, "mahalanobis"), columns)], 0)

    def said(self, door: Door, batch: Batch) -> dict[str, Tensor]:
        """By detector the class that is nearest in its one layer, or what the model says."""
        found: dict[str, list[Tensor]] = {label: [] for label in door.detectors}
        methods = [f.method for f in door.detectors.values()]
        with evaluating(door.model), torch.no_grad():
            for look in looks(methods, door.anatomy, batch, Oracle(door.model)):
                for label, fitted in door.detectors.items():
                    method, classes = fitted.method, look.predictions
                    if isinstance(method, Mahalanobis) and "+" not in method.layer:
                        classes = method.nearest(look, fitted.bank)[:, 0]
                    found[label].append(classes)
        return {label: torch.cat(parts) for label, parts in found.items()}

    def there(self, condition: str) -> bool:
        """Whether rows are finished."""
        return self.bench.run.has_rows("scores", condition, 0)


def redrawn(labels: Tensor, rate: float, seed: int) -> Tensor:
    """Labels of which a share is drawn anew from all classes, each other class alike.

    Args:
        labels: int64 `[N]`.
        rate: the share, in [0, 1].
        seed: of the draw.
    """
    generator, classes = torch.Generator().manual_seed(seed), int(labels.max()) + 1
    other = (labels + torch.randint(1, classes, labels.shape, generator=generator)) % classes
    return torch.where(torch.rand(labels.shape, generator=generator) < rate, other, labels)
