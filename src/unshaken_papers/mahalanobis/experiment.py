"""Networks that never see two classes of their data, and what distances of their features say of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.carlini_wagner import CarliniWagner
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.core.search_copy import search_copy
from unshaken.data.arrays import InMemory
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Detector
from unshaken.detect.engine.class_gaussians import ClassGaussians
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.fitting import Shares
from unshaken.detect.engine.fitting import fit as fit_detectors
from unshaken.detect.engine.layerwise import combine_layers
from unshaken.detect.engine.screen import forward_passes, run_queries
from unshaken.detect.scores.mahalanobis import Mahalanobis
from unshaken.detect.scores.msp import MSP
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.mahalanobis import MahalanobisPaper
from unshaken_papers.mahalanobis.images import Images, as_received, noisy_as, read, redrawn
from unshaken_papers.mahalanobis.rules import FEW, TRAININGS, WRONG, at_step


@dataclass(frozen=True, slots=True)
class Budget:
    """An attack with its budget.

    Args:
        attack: the search.
        norm: of the budget.
        eps: radius in [0, 1] pixel units; of a search for the least change, no more than a limit.
    """

    attack: Attack[Any]
    norm: str
    eps: float


ATTACKS: Mapping[str, Budget] = {
    "fgsm-8": Budget(FGSM(), "linf", 8 / 255),
    "bim": Budget(PGD(steps=6, rel_stepsize=1 / 6, random_start=False), "linf", 0.06),
    "pgd-8": Budget(PGD(steps=10, rel_stepsize=0.25), "linf", 8 / 255),
    "pgd-2": Budget(PGD(steps=10, rel_stepsize=0.25), "linf", 2 / 255),
    "deepfool": Budget(DeepFool(overshoot=0.18), "l2", 10.0),
    "cw": Budget(CarliniWagner(steps=100, search_steps=1, initial_c=1.0, polish=0), "l2", 10.0),
}
"""BIM with 6 steps of 0.01, DeepFool 18 % beyond the boundary, CW in one run of 100 steps: as in the official code."""


def run(paper: MahalanobisPaper, context: Context) -> None:
    """Train, fit and score for each seed."""
    images = read(paper, context)
    with track("distances", paper.seeds * (1 + len(TRAININGS))) as task:
        for seed in context.seeds(paper.seeds):
            own = context.within(f"s{seed}")
            part = Scores(paper, own.within("main"), images, trained(paper, own, "net", images.train, seed), seed)
            part.score_all()
            part.add_classes()
            wrong = redrawn(images.train.labels, WRONG, seed)
            replace(part, context=own.within("fitted"), labels=wrong).score_far()
            task.advance()
            for name in TRAININGS:
                shown = images.train.relabelled(wrong) if name == "wrong" else fewer(images.train, seed)
                net = trained(paper, own, name, shown, seed)
                of_these = replace(images, train=shown)
                Scores(paper, own.within(name), of_these, net, seed).score_far()
                task.advance()


def trained(paper: MahalanobisPaper, context: Context, name: str, shown: Split, seed: int) -> Classifier:
    """A network that learned from some images."""
    training = plan_training(paper.epochs, seed, lr=0.2, nesterov=True, smoothing=0.05, held_out=1)
    return context.net(name, context.model, shown, training, [CropFlip(pad=0)]).model


def fewer(train: Split, seed: int) -> Split:
    """A share of the images, of each class alike."""
    return train.stratified(max(train.classes, round(FEW * len(train))), seed)


@dataclass(frozen=True, slots=True)
class Scores:
    """One network, its detectors, and their scores.

    Args:
        paper: the sizes.
        context: with the seed and the group as its prefix.
        images: normal and abnormal.
        model: the network.
        seed: of fits and attacks.
        labels: of the training images, for the fit; None for those that the network learned from.
    """

    paper: MahalanobisPaper
    context: Context
    images: Images
    model: Classifier
    seed: int
    labels: Tensor | None = None

    def score_all(self) -> None:
        """All detectors, each layer at each step of the input, on all sets."""
        sets = {"normal": self.images.normal, **self.images.abnormal}
        names = [*sets, *(n for a in ATTACKS for n in (a, f"noisy-{a}"))]
        if not any(self.missing(name) for name in names):
            return
        detector_set = self.fitted(self.paper.steps)
        for name, batch in sets.items():
            self.write(name, detector_set, batch)
        batch = self.images.normal[slice(0, self.paper.attacked)]
        for name, budget in ATTACKS.items():
            if self.missing(name) or self.missing(f"noisy-{name}"):
                attacked = self.attacked(batch, budget)
                self.write(name, detector_set, attacked)
                self.write(f"noisy-{name}", detector_set, noisy_as(batch, attacked, self.seed))

    def score_far(self) -> None:
        """The softmax, single layers and the ensemble with equal weights, on normal images and those of other kinds."""
        if any(self.missing(name) for name in self.images.far):
            detector_set = self.fitted(())
            for name, batch in self.images.far.items():
                self.write(name, detector_set, batch)

    def missing(self, name: str) -> bool:
        """Whether a set is still to be scored."""
        return not self.context.has(name, "scores")

    def layers(self) -> tuple[str, ...]:
        """Every block of a small network; of others one layer for each size of the picture."""
        names = [n for n, _ in self.model.net.named_modules()]
        blocks = [n for n in names if n.startswith("body.") and n.count(".") == 1]
        return tuple(blocks) or Anatomy.of(self.model, self.images.normal.images[:2]).stages

    def fitted(self, steps: Sequence[float]) -> DetectorSet:
        """The softmax, and distances in all layers at each step, fitted to the training images."""
        train = self.images.train
        labels = train.labels if self.labels is None else self.labels
        data = InMemory(train.images, labels, classes=[str(c) for c in range(train.classes)])
        methods: list[Detector] = [Mahalanobis(layer=self.layers(), eps=e) for e in (0.0, *steps)]
        shares = Shares(keep=1000, tune=500, calibration=0.02)
        return fit_detectors(
            self.model, data, [MSP(), *methods], shares=shares, seed=self.seed, device=str(device_of(self.model))
        ).detector_set

    def attacked(self, batch: Batch, budget: Budget) -> Batch:
        """Images under an attack, as a user would receive them."""
        attack, norm, eps = budget.attack, budget.norm, budget.eps
        found = self.context.search(self.model, attack, batch, norm=norm, eps=eps, seed=self.seed)
        return as_received(batch, found.images)

    def write(self, label: str, detector_set: DetectorSet, batch: Batch) -> None:
        """Rows of all detectors on one set, where there are none yet.

        `prediction` is the model's, or the class nearest in a single layer.
        """
        if not self.missing(label):
            return
        split = ["tune" if i < self.paper.tune else "test" for i in range(len(batch))]
        own = {"id": batch.ids, "split": split, "label": batch.labels}
        parts = [
            {**own, "detector": name, "score": scores, "prediction": classes}
            for name, (scores, classes) in answers(detector_set, batch).items()
        ]
        self.context.write("scores", label, parts)

    def add_classes(self) -> None:
        """Rows of the classes never shown, once a few of their images were added to the Gaussians without training."""
        if self.context.has("classes", "classes"):
            return
        layer, train, added = self.layers()[-1], self.images.train, self.images.added
        gaussians = ClassGaussians.fit(self.features(train.batch(), layer), train.labels)
        few = self.features(added.batch(), layer)
        for c in range(train.classes, added.classes):
            gaussians = gaussians.with_class(few[added.labels == c])
        tested = Batch.concat([self.images.normal, self.images.abnormal["near"]])
        features, labels, parts = self.features(tested, layer), required(tested.labels), []
        own = {"id": tested.ids, "label": labels, "fresh": labels >= train.classes}
        for way, distances in (("shared", gaussians.distances), ("euclidean", gaussians.euclidean)):
            found = distances(features)
            old, new = found[:, : train.classes].min(1), found[:, train.classes :].min(1)
            nearest = {"old": old.indices, "new": new.indices + train.classes, "gap": old.values - new.values}
            parts.append({**own, "way": way, **nearest})
        self.context.write("classes", "classes", parts)

    def features(self, batch: Batch, layer: str) -> Tensor:
        """A layer's values, averaged over places, float32 `[N, d]`."""
        method, anatomy = Mahalanobis(layer=layer), Anatomy.of(self.model, batch.images[:2])
        with evaluating(self.model):
            passes = forward_passes([method], anatomy, batch, Oracle(self.model))
            return torch.cat([forward.pooled(layer) for forward in passes])


def answers(detector_set: DetectorSet, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
    """Scores, and the nearest class or the model's own, by the softmax, each layer at each step, and the ensemble."""
    fitted = list(detector_set.detectors.values())
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with evaluating(detector_set.model):
        oracle = Oracle(detector_set.model, search_copy=search_copy(detector_set.model, batch.images[:2]))
        for forward in forward_passes([f.method for f in fitted], detector_set.anatomy, batch, oracle):
            for one in fitted:
                if not isinstance(method := one.method, Mahalanobis):
                    score = run_queries(method.score(forward, one.bank), oracle)
                    found.setdefault("msp", []).append((score, forward.predictions))
                    continue
                each = run_queries(method.layer_scores(forward, one.bank), oracle)
                nearest = method.nearest(forward, one.bank)
                for i in range(each.shape[1]):
                    found.setdefault(at_step(f"layer{i + 1}", method.eps), []).append((each[:, i], nearest[:, i]))
                if not method.eps:
                    found.setdefault("equal", []).append((combine_layers(each, one.bank), forward.predictions))
    return {name: (torch.cat([s for s, _ in p]).double(), torch.cat([c for _, c in p])) for name, p in found.items()}
