"""Long-tailed training images with wrong labels, a network pretrained on them, and the ways to train it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.data.arrays import InMemory
from unshaken.data.label_noise import class_frequency, drawn_labels
from unshaken.data.resident import Samples
from unshaken.data.selection import long_tail_rows
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.harden.recipes.losses.balanced_sampling import BalancedSampling
from unshaken.harden.recipes.noisy_labels.rcal import RCAL
from unshaken.harden.recipes.pretraining.simclr import SimCLR
from unshaken.labels.engine.frozen import features_of
from unshaken.labels.engine.out_of_sample import probe_probabilities
from unshaken.labels.engine.representation_calibrator import Estimator, fit_gaussians, normality
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.label_curves import label_curves, write_curves
from unshaken.papers.networks import Net, plan_training
from unshaken_papers.rcal import ARMS, BALANCED, PLAIN, SMALL, WITHOUT, RCALPaper

ESTIMATES: dict[str, tuple[Estimator, float]] = {
    "true": ("plain", 0.0), "given": ("plain", 0.0), "lof": ("lof", 0.1), "trimmed": ("trimmed", 0.4),
}  # fmt: skip
"""Estimates of class Gaussians: from true labels, and from given ones in three ways, with the share that is dropped."""


@dataclass(frozen=True)
class Images:
    """Images that all seeds share.

    Args:
        training: long-tailed, with true labels.
        testing: balanced.
        choosing: balanced, apart from those.
    """

    training: Split
    testing: Split
    choosing: Split


def run(paper: RCALPaper, context: Context) -> None:
    """Pretrain once; then all arms of every seed.

    Raises:
        ParameterError: a user's model was named.
    """
    context.refuse_model(SMALL, "its network is pretrained on the long-tailed images; choose --data instead")
    parts = context.datasets.parts(None, paper.test, paper.choosing)
    whole = parts.training
    rows = long_tail_rows(
        whole.labels.numpy(), whole.classes, paper.ratio, whole.ids, seed=context.seed, most=paper.largest
    )
    data = Images(whole[rows], parts.testing, parts.choosing)
    start = pretrained(paper, context, data.training)
    features = {n: features_in(start.model, s) for n, s in (("training", data.training), ("testing", data.testing))}
    probe(context, start.model, data)
    with track("rcal", paper.seeds * len(ARMS)) as task:
        for part in context.repetitions(paper.seeds):
            noisy = mislabelled(paper, data.training, part.seed)
            gaussians(part, data, noisy, features)
            for arm in ARMS:
                measure(paper, part, data, noisy, start, arm)
                task.advance()


def mislabelled(paper: RCALPaper, data: Split, seed: int) -> Split:
    """The images with wrong labels by class frequency."""
    counts = torch.bincount(data.labels, minlength=data.classes).tolist()
    transition = class_frequency(paper.rate, data.names, counts)
    return data.relabelled(torch.from_numpy(drawn_labels(data.labels.numpy(), transition, data.ids, seed)))


def build_small(classes: int, channels: int, side: int) -> ConvBlocks:
    """Three convolutions of 16, 32 and 64 channels, two of stride 2: 24,000 parameters."""
    return ConvBlocks(classes, channels, side, widths=(16, 32, 64), strides=(2, 2, 1))


def pretrained(paper: RCALPaper, context: Context, data: Split) -> Net:
    """The network after SimCLR; labels are not used."""
    training = plan_training(
        paper.pretraining, context.seed, batch_size=256, lr=2e-3, optimizer="adam", schedule="cosine",
        weight_decay=0.0, held_out=2, check_images=2,
    )  # fmt: skip
    return context.net("simclr", build_small, data, training, [SimCLR()])


def recipes_of(arm: str) -> Sequence[Recipe]:
    """Recipes of an arm, behind crops and mirror images."""
    if arm in WITHOUT:
        return [RCAL(**WITHOUT[arm])]
    mixed = [Mixup()] if arm in (PLAIN, BALANCED, "clean") else []
    return [*mixed, BalancedSampling()] if arm in (BALANCED, "clean") else mixed


def measure(paper: RCALPaper, context: Context, data: Images, noisy: Split, start: Net, arm: str) -> None:
    """Train one arm, and write its predictions and its curves."""
    sets = {"choosing": data.choosing, "test": data.testing}
    training = plan_training(
        paper.epochs, context.seed, batch_size=64, lr=paper.lr, optimizer="adam", schedule="cosine", weight_decay=0.0,
        held_out=2, check_images=2,
    )  # fmt: skip
    recipes = [CropFlip(pad=2), *recipes_of(arm), label_curves(data.training.labels, **sets)]
    net = context.net(arm, start, data.training if arm == "clean" else noisy, training, recipes)
    context.predict(f"{arm}.test", net.model, data.testing.batch())
    write_curves(context, arm, net, **sets)


def features_in(model: Classifier, data: Split) -> NDArray[np.float64]:
    """Inputs of the last layer, `[N, m]`."""
    samples = Samples(InMemory(data.images, data.labels), None, data.classes, sparse=True)
    return features_of(model, samples, samples.good).astype(np.float64)


def probe(context: Context, start: Classifier, data: Images) -> None:
    """Write which test images a linear classifier of the features gets right that learned from balanced true labels."""
    if context.has("features", "probe"):
        return
    features = np.concatenate([features_in(start, part) for part in (data.choosing, data.testing)])
    labels = torch.cat([data.choosing.labels, data.testing.labels]).numpy()
    fold = np.repeat([1, 0], [len(data.choosing), len(data.testing)])  # each fold is predicted by the other
    found = probe_probabilities(features, labels, fold, data.training.classes, penalty=1e-3)[fold == 0].argmax(1)
    right = (found == data.testing.labels.numpy()).astype(np.int32)
    context.write("probe", "features", {"id": list(data.testing.ids), "correct": right.tolist()})


def gaussians(context: Context, data: Images, noisy: Split, features: dict[str, NDArray[np.float64]]) -> None:
    """Write how far each estimate of a class is from normal on test images, and from the estimate by true labels."""
    if context.has("trimmed", "gaussians"):
        return
    z, test, k = features["training"], features["testing"], noisy.classes
    truth = fit_gaussians(z, data.training.labels.numpy(), k, estimator="plain")
    for name, (estimator, share) in ESTIMATES.items():
        labels = (data.training if name == "true" else noisy).labels.numpy()
        found = fit_gaussians(z, labels, k, estimator=estimator, share=share)
        own = [np.flatnonzero((labels == c) & found.kept) for c in range(k)]
        spread = [s + 1e-3 * np.trace(s) / len(s) * np.eye(len(s)) for s in found.covariances]
        on_test = [test[data.testing.labels.numpy() == c] for c in range(k)]
        context.write("gaussians", name, {
            "id": [str(c) for c in range(k)],
            "samples": [len(rows) for rows in own],
            "right": [float((data.training.labels.numpy()[rows] == c).mean()) for c, rows in enumerate(own)],
            "normality": [normality(x, m, s) for x, m, s in zip(on_test, found.means, spread, strict=True)],
            "apart": np.linalg.norm(found.means - truth.means, axis=1).tolist(),
        })  # fmt: skip
