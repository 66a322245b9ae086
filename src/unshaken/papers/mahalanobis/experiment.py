"""Networks that never see two classes of their data, and what distances of their features say of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError, UnshakenError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.data.in_memory import InMemory
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Detector
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.fitting import Shares
from unshaken.detect.engine.fitting import fit as fit_detectors
from unshaken.detect.engine.screen import forward_passes, run_queries
from unshaken.detect.scores.mahalanobis import Mahalanobis
from unshaken.detect.scores.msp import MSP
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.papers.frame.context import Context
from unshaken.papers.frame.datasets import Split
from unshaken.papers.frame.networks import plan_training
from unshaken.papers.mahalanobis import ATTACKED, EPS, RATES, MahalanobisPaper

UNSEEN = 2
"""Classes, the last ones, that are never shown: near to the others, and abnormal."""
FAR = ("fashion-mnist", "mnist")
"""Data sets of another kind, where they are installed."""
ATTACKS: Mapping[str, Attack[Any]] = {"fgsm": FGSM(), "pgd": PGD(steps=10, step_size=0.25)}


@dataclass(frozen=True, slots=True)
class Images:
    """Normal and abnormal images.

    Args:
        train: of the classes shown, to learn from.
        normal: test images of these classes.
        abnormal: name to images for which no class shown is correct.
    """

    train: Split
    normal: Batch
    abnormal: Mapping[str, Batch]

    @property
    def sets(self) -> dict[str, Batch]:
        """All test sets."""
        return {"normal": self.normal, **self.abnormal}


def run(paper: MahalanobisPaper, context: Context) -> None:
    """Train, fit and score for each seed."""
    images = read(paper, context)
    with track("distances", paper.seeds * (1 + len(RATES))) as task:
        for seed in context.seeds(paper.seeds):
            training = plan_training(paper.epochs, seed, lr=0.2, nesterov=True, smoothing=0.05, held_out=1)
            net = context.net(f"s{seed}", context.model, images.train, training, [CropFlip(pad=0)])
            part = Scores(paper, context.within(f"s{seed}"), images, net.model, seed)
            part.score_all()
            task.advance()
            for rate in RATES:
                part.score_noisy(rate)
                task.advance()


def read(paper: MahalanobisPaper, context: Context) -> Images:
    """The data without its last two classes, those two, data of another kind, and noise.

    Raises:
        DataError: the data is absent, has fewer than four classes, or too few images.
    """
    parts = context.datasets.parts(paper.train, 10**9)
    shown, count = parts.training.classes - UNSEEN, paper.images
    if shown < 2:
        raise DataError(f"data {context.data!r} has {shown + UNSEEN} classes: four or more are needed, two never shown")
    train = parts.training[parts.training.labels < shown]
    seen = parts.testing.labels < shown
    normal, near = parts.testing[seen].batch(), parts.testing[~seen].batch()
    if min(len(normal), len(near)) < 4:
        raise DataError(f"data {context.data!r}: {len(normal)} normal and {len(near)} unseen test images are too few")
    far = {name: found for name in FAR if (found := other_kind(context, name, normal, count)) is not None}
    noise = SampleRng.of(context.seed, "noise", [str(i) for i in range(count)]).uniform(*normal.images.shape[1:])
    sets = {"near": near[slice(0, count)], **far, "noise": unlabelled(noise)}
    shown_alone = Split(train.images, train.labels, train.ids, shown)
    return Images(shown_alone, normal[slice(0, count)], sets)


def other_kind(context: Context, name: str, like: Batch, count: int) -> Batch | None:
    """Images of another data set in the size and the channels of these; None where it is not installed."""
    if context.data.split("?")[0] == name:
        return None
    try:
        chosen = context.datasets.read("test", name).stratified(count).batch()
    except UnshakenError:
        return None
    channels, height, width = like.images.shape[1:]
    images = F.interpolate(chosen.images, (height, width), mode="bilinear", align_corners=False)
    if images.shape[1] != channels:
        images = images.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    return unlabelled(images.contiguous())


def unlabelled(images: Tensor) -> Batch:
    """Images for which no class is correct."""
    return Batch(images.clamp(0, 1), None, tuple(str(i) for i in range(len(images))))


@dataclass(frozen=True, slots=True)
class Scores:
    """One network, its detectors, and their scores.

    Args:
        paper: the sizes.
        context: with the seed as its prefix.
        images: normal and abnormal.
        model: the network.
        seed: of fits and attacks.
    """

    paper: MahalanobisPaper
    context: Context
    images: Images
    model: Classifier
    seed: int

    def score_all(self) -> None:
        """All detectors on all sets."""
        names = [*self.images.sets, *ATTACKED, *(f"noisy-{e}" for e in (8, 2))]
        left = [name for name in names if not self.context.has(name, "scores")]
        if not left:
            return
        layers = self.layers()
        every = "+".join(layers)
        methods: dict[str, Detector] = {"msp": MSP()}
        methods |= {f"layer{i + 1}": Mahalanobis(layer=n) for i, n in enumerate(layers)}
        methods |= {f"step-{e:g}": Mahalanobis(layer=layers[-1], eps=e) for e in EPS}
        methods |= {"equal": Mahalanobis(layer=every), "fgsm": Mahalanobis(layer=every, weights="fgsm")}
        detector_set = self.fitted(self.images.train.labels, list(methods.values()))
        for name in left:
            self.write(name, detector_set, list(methods), self.images.sets.get(name) or self.changed(name))

    def score_noisy(self, rate: float) -> None:
        """The last layer and the ensemble, fitted with some labels drawn at random."""
        left = [name for name in self.images.sets if not self.context.has(f"noise{rate:g}.{name}", "scores")]
        if not left:
            return
        layers = self.layers()
        methods: list[Detector] = [Mahalanobis(layer=layers[-1]), Mahalanobis(layer="+".join(layers))]
        detector_set = self.fitted(redrawn(self.images.train.labels, rate, self.seed), methods)
        for name in left:
            self.write(f"noise{rate:g}.{name}", detector_set, [f"layer{len(layers)}", "equal"], self.images.sets[name])

    def layers(self) -> tuple[str, ...]:
        """Every block of a small network; of others one layer for each size of the picture."""
        names = [n for n, _ in self.model.net.named_modules()]
        blocks = [n for n in names if n.startswith("body.") and n.count(".") == 1]
        return tuple(blocks) or Anatomy.of(self.model, self.images.normal.images[:2]).stages

    def fitted(self, labels: Tensor, methods: list[Detector]) -> DetectorSet:
        """Detectors fitted to the training images."""
        classes = [str(c) for c in range(int(labels.max()) + 1)]
        data = InMemory(self.images.train.images, labels, classes=classes)
        shares = Shares(keep=1000, tune=500, calibration=0.02)
        return fit_detectors(self.model, data, methods, shares=shares, seed=self.seed).detector_set

    def changed(self, name: str) -> Batch:
        """Normal images under an attack, or with Gaussian noise as large as that attack's step."""
        batch, kind, size = self.images.normal, *name.split("-")
        eps = int(size) / 255
        if kind == "noisy":
            drawn = SampleRng.of(self.seed, "noisy", batch.ids).normal(*batch.images.shape[1:])
            return batch.with_images((batch.images + eps * drawn).clamp(0, 1))
        found = self.context.search(self.model, ATTACKS[kind], batch, norm="linf", eps=eps, seed=self.seed)
        return batch.with_images((found.images * 255).round() / 255)  # what a user would receive

    def write(self, label: str, detector_set: DetectorSet, names: list[str], batch: Batch) -> None:
        """Rows of all detectors on one set; `prediction` is the model's, or the class nearest in a single layer."""
        n, split = len(batch), ["tune" if i < self.paper.tune else "test" for i in range(len(batch))]
        labels = [None] * n if batch.labels is None else batch.labels.tolist()
        columns: dict[str, list[Any]] = {}
        for name, (scores, classes) in zip(names, answers(detector_set, batch), strict=True):
            own = {"id": batch.ids, "detector": [name] * n, "split": split, "label": labels}
            for key, values in {**own, "score": scores, "prediction": classes}.items():
                columns.setdefault(key, []).extend(values)
        self.context.write("scores", label, columns)


def answers(detector_set: DetectorSet, batch: Batch) -> list[tuple[list[float], list[int]]]:
    """By detector the scores, and the class that is nearest in its one layer or the model's own; one pass for all."""
    fitted = list(detector_set.detectors.values())
    found: list[tuple[list[float], list[int]]] = [([], []) for _ in fitted]
    with evaluating(detector_set.model):
        oracle = Oracle(detector_set.model)
        for look in forward_passes([f.method for f in fitted], detector_set.anatomy, batch, oracle):
            for (scores, classes), one in zip(found, fitted, strict=True):
                scores += run_queries(one.method.examine(look, one.bank), oracle).double().tolist()
                method, nearest = one.method, look.predictions
                if isinstance(method, Mahalanobis) and "+" not in method.layer:
                    nearest = method.nearest(look, one.bank)[:, 0]
                classes += nearest.tolist()
    return found


def redrawn(labels: Tensor, rate: float, seed: int) -> Tensor:
    """Labels of which a share is replaced by another class, each with the same probability.

    Args:
        labels: int64 `[N]`.
        rate: the share, in [0, 1].
        seed: of the draw.
    """
    generator, classes = torch.Generator().manual_seed(seed), int(labels.max()) + 1
    other = (labels + torch.randint(1, classes, labels.shape, generator=generator)) % classes
    return torch.where(torch.rand(labels.shape, generator=generator) < rate, other, labels)
