"""The geometry of pairs of classes, and networks that learn to tell them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.explain.geometry.estimators import Settings, dimensions
from unshaken.explain.geometry.sharpness import label_sharpness
from unshaken.harden.engine.training import Training
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.intrinsic_properties import LEVELS, QUANTILE, IntrinsicPropertiesPaper

NET = partial(ConvBlocks, widths=(16, 32, 48), strides=(2, 2, 1))
SIDE = 32
FURTHEST = 100.0
"""Radius in l2 within which DeepFool searches: larger than any image."""


@dataclass(frozen=True, slots=True)
class ClassPair:
    """Two classes of a source as a data set of their own.

    Args:
        label: of its conditions.
        source: SPEC without options.
        classes: numbers of the two.
        training: labelled 0 and 1.
        testing: likewise.
    """

    label: str
    source: str
    classes: tuple[int, int]
    training: Split
    testing: Split


def run(paper: IntrinsicPropertiesPaper, context: Context) -> None:
    """Measure every pair, then train and attack its networks."""
    context.refuse_model(paper.model, "unshaken explain representation-dimension measures any")
    pairs = list(class_pairs(paper, context))
    with track("pairs of classes", len(pairs)) as task:
        for place, pair in enumerate(pairs):
            geometry(paper, context, pair)
            for seed in context.seeds(paper.seeds):
                part = context.within(f"seed{seed}.{pair.label}")
                network(paper, part, pair, seed)
                if place % paper.pairs < paper.sweep:
                    for fraction in paper.fractions:
                        fewer(paper, part, pair, seed, fraction)
            task.advance()


def class_pairs(paper: IntrinsicPropertiesPaper, context: Context) -> Iterator[ClassPair]:
    """Pairs of classes of each source, drawn once for all seeds.

    Raises:
        DataError: a source has too few classes.
    """
    for place, spec in enumerate([context.data, *filter(None, paper.other)]):
        training, testing = (alike(context.datasets.read(split, spec)) for split in ("train", "test"))
        every = list(combinations(range(training.classes), 2))
        if len(every) < paper.pairs:
            raise DataError(f"data {spec!r} has {len(every)} pairs of classes: give pairs={len(every)} or fewer")
        for i in sorted(np.random.default_rng(context.seed).permutation(len(every))[: paper.pairs].tolist()):
            one, other = every[i]
            sizes = (paper.train, paper.test)
            parts = [
                two_classes(s, one, other, n, context.seed) for s, n in zip((training, testing), sizes, strict=True)
            ]
            yield ClassPair(f"source{place}.pair{one}-{other}", spec.partition("?")[0], (one, other), *parts)


def alike(split: Split) -> Split:
    """Images of one size in colour, so that distances compare."""
    images = F.interpolate(split.images.float(), (SIDE, SIDE), mode="bilinear", align_corners=False)
    colour = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    return Split(colour.round().clamp(0, 255).byte(), split.labels, split.ids, split.classes, split.names)


def two_classes(split: Split, one: int, other: int, count: int, seed: int) -> Split:
    """Half as many images of either class, labelled 0 and 1, in their order; others for each seed."""
    every, n = [(split.labels == c).nonzero().flatten() for c in (one, other)], count // 2
    rows = torch.cat([own.roll(-n * seed)[:n] for own in every]).sort().values
    chosen = split[rows]
    return Split(chosen.images, (chosen.labels == other).long(), chosen.ids, 2)


def points_of(split: Split) -> Tensor:
    """Pixels in [0, 1] as points."""
    return split.images.flatten(1).float() / 255


def geometry(paper: IntrinsicPropertiesPaper, context: Context, pair: ClassPair) -> None:
    """The row of a pair: label sharpness of as many images of each class, and dimensions of all."""
    if context.has(pair.label, "data"):
        return
    half = two_classes(pair.training, 0, 1, paper.sharp, context.seed)
    sharp = label_sharpness(points_of(half), half.labels, quantile=QUANTILE, draws=2)
    found, _ = dimensions(points_of(pair.training), Settings(draws=2))
    columns = {
        "id": [pair.label], "source": [pair.source], "classes": ["-".join(map(str, pair.classes))],
        "sharpness": [None if sharp.largest is None else sharp.largest.value],
        "sharpness_999": [None if sharp.quantile is None else sharp.quantile.value],
        "dimension": [found["mle"].value], "twonn": [found["twonn"].value], "n": [len(pair.training)],
    }  # fmt: skip
    context.write("data", pair.label, columns)


def network(paper: IntrinsicPropertiesPaper, context: Context, pair: ClassPair, seed: int) -> None:
    """Train on a pair; rows of its test loss, of FGSM, of DeepFool, and of the dimension of its features."""
    net = context.net("net", NET, pair.training, plan(paper, seed)).model
    context.predict("clean", net, pair.testing.batch())
    shown = pair.testing.stratified(paper.attacked, context.seed).batch()
    context.predict("before", net, shown)
    for level in LEVELS:
        context.attack(f"fgsm-{level}", net, FGSM(), shown, norm="linf", eps=level / 255, seed=seed)
    if not context.has("radii", "radii"):
        found = context.search(net, DeepFool(), shown, norm="l2", eps=FURTHEST, seed=seed)
        distance = (found.images - shown.images).flatten(1).double().norm(dim=1)
        with evaluating(net):
            predicted = Oracle(net, limit=500).exact(shown.images).argmax(1)
        correct = predicted.eq(required(shown.labels)).tolist()
        columns = {"id": list(shown.ids), "distance": distance.tolist(), "correct": correct}
        context.write("radii", "radii", columns)
    if not context.has("representation", "representation"):
        figures, _ = dimensions(features(net, pair.training), Settings(draws=2))
        columns = {"id": [pair.label], "twonn": [figures["twonn"].value], "mle": [figures["mle"].value]}
        context.write("representation", "representation", columns)


def fewer(paper: IntrinsicPropertiesPaper, context: Context, pair: ClassPair, seed: int, fraction: float) -> None:
    """Test predictions of a network that has learned from a share of the images."""
    few = two_classes(pair.training, 0, 1, round(fraction * len(pair.training)), context.seed)
    net = context.net(f"few{len(few)}", NET, few, plan(paper, seed)).model
    context.predict(f"few{len(few)}.clean", net, pair.testing.batch())


def plan(paper: IntrinsicPropertiesPaper, seed: int) -> Training:
    """How every network is trained."""
    options = {"optimizer": "adam", "lr": 3e-3, "weight_decay": 1e-4, "held_out": 1, "check_images": 1}
    return plan_training(paper.epochs, seed, **options)


def features(net: Classifier, split: Split) -> Tensor:
    """Inputs of the last layer, `[N, D]`."""
    with evaluating(net), torch.no_grad():
        parts = [net.features(x, ["head:in"])[1]["head:in"] for x in torch.split(split.batch().images, 500)]
    return torch.cat(parts)
