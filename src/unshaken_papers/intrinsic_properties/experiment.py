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
    even = list(even_pairs(paper, context)) if any(paper.medical) else []
    longer = round(paper.epochs * paper.train / paper.few)
    with track("pairs of classes", len(pairs) + len(even)) as task:
        for place, pair in enumerate(pairs):
            geometry(paper, context, pair)
            for seed in context.seeds(paper.seeds):
                part = context.within(f"seed{seed}.{pair.label}")
                network(paper, part, pair, seed)
                if place % paper.pairs < paper.sweep:
                    for fraction in paper.fractions:
                        fewer(paper, part, pair, seed, fraction)
            task.advance()
        for pair in even:
            geometry(paper, context, pair)
            for seed in context.seeds(paper.seeds):
                part = context.within(f"seed{seed}.{pair.label}")
                net = part.net("net", NET, pair.training, plan(longer, seed))
                part.predict("clean", net.model, pair.testing.batch())
            task.advance()


def class_pairs(paper: IntrinsicPropertiesPaper, context: Context) -> Iterator[ClassPair]:
    """Pairs of classes of each source, drawn once for all seeds.

    Raises:
        DataError: a source has too few classes.
    """
    for place, spec in enumerate([context.data, *filter(None, paper.other)]):
        training, testing = (shuffled(context, split, spec) for split in ("train", "test"))
        every = list(combinations(range(training.classes), 2))
        if len(every) < paper.pairs:
            raise DataError(f"data {spec!r} has {len(every)} pairs of classes: give pairs={len(every)} or fewer")
        for i in sorted(np.random.default_rng(context.seed).permutation(len(every))[: paper.pairs].tolist()):
            one, other = every[i]
            sizes = (paper.train, paper.test)
            parts = [
                alike(two_classes(split, one, other, size, context.seed))
                for split, size in zip((training, testing), sizes, strict=True)
            ]
            yield ClassPair(f"source{place}.pair{one}-{other}", spec.partition("?")[0], (one, other), *parts)


def even_pairs(paper: IntrinsicPropertiesPaper, context: Context) -> Iterator[ClassPair]:
    """Pairs of classes of natural and of medical sources, each with as few training images.

    Raises:
        DataError: a source has no two classes of half as many images each.
    """
    natural = {f"even{i}": spec for i, spec in enumerate([context.data, *filter(None, paper.other)])}
    medical = {f"medical{i}": spec for i, spec in enumerate(filter(None, paper.medical))}
    for name, spec in (natural | medical).items():
        training, testing = (shuffled(context, split, spec) for split in ("train", "test"))
        counts = torch.bincount(training.labels, minlength=training.classes)
        shown = torch.bincount(testing.labels, minlength=testing.classes)
        usable = [c for c in range(training.classes) if counts[c] >= paper.few // 2 and shown[c]]
        every = list(combinations(usable, 2))
        if not every:
            raise DataError(f"data {spec!r} has no two classes of {paper.few // 2} training images: give few= less")
        most = len(every) if name in medical else paper.compared
        for i in sorted(np.random.default_rng(context.seed).permutation(len(every))[:most].tolist()):
            one, other = every[i]
            tested = min(paper.test, 2 * int(torch.minimum(shown[one], shown[other])))
            learned = two_classes(training, one, other, paper.few, context.seed)
            parts = learned, two_classes(testing, one, other, tested, context.seed)
            yield ClassPair(f"{name}.pair{one}-{other}", spec.partition("?")[0], (one, other), *map(alike, parts))


def shuffled(context: Context, split: str, spec: str) -> Split:
    """A split in an order that is drawn from the run's seed."""
    whole = context.datasets.read(split, spec)
    return whole[np.random.default_rng([context.seed, len(whole)]).permutation(len(whole))]


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
    net = context.net("net", NET, pair.training, plan(paper.epochs, seed)).model
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
    net = context.net(f"few{len(few)}", NET, few, plan(paper.epochs, seed)).model
    context.predict(f"few{len(few)}.clean", net, pair.testing.batch())


def plan(epochs: int, seed: int) -> Training:
    """How every network is trained."""
    options = {"optimizer": "adam", "lr": 3e-3, "weight_decay": 1e-4, "held_out": 1, "check_images": 1}
    return plan_training(epochs, seed, **options)


def features(net: Classifier, split: Split) -> Tensor:
    """Inputs of the last layer, `[N, D]`."""
    with evaluating(net), torch.no_grad():
        parts = [net.features(x, ["head:in"])[1]["head:in"] for x in torch.split(split.batch().images, 500)]
    return torch.cat(parts)
