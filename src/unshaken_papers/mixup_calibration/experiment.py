"""Networks trained with and without mixup until they know their training labels, where classes overlap."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.harden.recipes.augmentation.mixup import Mixup
from unshaken.models.networks.convolutions import perceptron
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Architecture, plan_training, untrained
from unshaken_papers.mixup_calibration import CLASSES, NETS, OVERLAPS, RATES, SEPARATIONS, MixupCalibrationPaper
from unshaken_papers.mixup_calibration.overlapping_classes import REACH, OverlappingPairs, PairFlips, TwoGaussians

WIDTHS = (128, 128)
DIMS = 60
TEST = 2000
BATCH = 128
BYTES = ([0.5], [1 / (2 * REACH)])
"""Mean and deviation with which a network sees points as they were before they became bytes."""


def run(paper: MixupCalibrationPaper, context: Context) -> None:
    """Classes in pairs, as many points a class, two Gaussians, and images with flipped labels."""
    seeds = context.seeds(paper.seeds)
    photos = {seed: read_photos(paper, context, seed) for seed in seeds} if paper.photos else {}
    counts = [k for k in CLASSES if k <= paper.largest]
    with track("overlapping classes", len(seeds)) as task:
        for seed in seeds:
            part = context.within(f"s{seed}")
            for k in counts:
                for rho in OVERLAPS:
                    pairs(paper, part, seed, k, rho)
                evenly(paper, part, seed, k)
            for separation in SEPARATIONS:
                gaussians(paper, part, seed, separation)
            for rate in RATES if photos else ():
                noisy(paper, part, photos[seed], seed, rate)
            task.advance()


def pairs(paper: MixupCalibrationPaper, context: Context, seed: int, k: int, rho: float) -> None:
    """`k` classes in pairs, a share rho of them in a cluster that both of a pair have."""
    rng = np.random.default_rng([seed, k, round(100 * rho)])
    source = OverlappingPairs(k, rho, rng)
    points(context.within(f"pairs-{k}-{rho:g}"), source, rng, seed, (1500, 300), paper.epochs, ("erm", "mixup"))


def evenly(paper: MixupCalibrationPaper, context: Context, seed: int, k: int) -> None:
    """`k` classes in pairs at the largest overlap, with as many points of each class and as many steps for each `k`."""
    rng = np.random.default_rng([seed, k, 17])
    source, n = OverlappingPairs(k, max(OVERLAPS), rng), k * paper.each
    epochs = round(paper.epochs * batches(paper.largest * paper.each) / batches(n))
    points(context.within(f"even-{k}"), source, rng, seed, (n, max(1, n // 5)), epochs, ("erm",))


def batches(n: int) -> int:
    """Steps of an epoch with n images."""
    return -(-n // BATCH)


def gaussians(paper: MixupCalibrationPaper, context: Context, seed: int, separation: float) -> None:
    """Two classes, closer and closer."""
    rng = np.random.default_rng([seed, round(100 * separation)])
    source = TwoGaussians(separation, DIMS)
    points(context.within(f"gauss-{separation:g}"), source, rng, seed, (1000, 200), paper.gaussian_epochs, (*NETS,))


def points(
    context: Context, source: OverlappingPairs | TwoGaussians, rng: np.random.Generator, seed: int,
    sizes: tuple[int, int], epochs: int, nets: tuple[str, ...],
) -> None:  # fmt: skip
    """Networks on points whose posterior is known; `sizes` are those of the training and the held-out part."""
    train, held, test = (source.draw(n, rng) for n in (*sizes, TEST))
    named = {"train": train, "held": held, "test": test}
    parts = {name: Split.of(p.images, p.labels, classes=source.classes) for name, p in named.items()}
    arch = partial(perceptron, dims=source.dims, hidden=WIDTHS)
    for net in nets:
        learn(context.within(net), arch, parts, net, epochs, seed, BYTES)
    if not context.has("posterior", "posteriors"):
        ids = list(parts["test"].ids)
        context.write("posteriors", "posterior", {"id": ids, "posterior": test.posterior.tolist()})


def read_photos(paper: MixupCalibrationPaper, context: Context, seed: int) -> dict[str, Split]:
    """Images to train on, a tenth as many to fit temperatures on, and to test on.

    Raises:
        DataError: the data is absent, or has too few images.
        ParameterError: there is no such architecture.
    """
    train, test = (context.datasets.read(split) for split in ("train", "test"))
    rng = np.random.default_rng([seed, 13])
    order = rng.permutation(len(train))
    held = order[paper.photos : paper.photos + max(1, paper.photos // 10)]
    if not len(held):
        raise DataError(f"photos={paper.photos} of {len(order)} training images leave none to fit a temperature on")
    rows = rng.permutation(len(test))[:TEST]
    if context.model != "mlp":  # an architecture that does not exist is refused before anything is trained
        untrained(context.model, train.first(8), 0)
    return {"train": train[order[: paper.photos]], "held": train[held], "test": test[rows]}


def noisy(paper: MixupCalibrationPaper, context: Context, photos: Mapping[str, Split], seed: int, rate: float) -> None:
    """Photos whose training labels follow a fixed map with a probability; test labels clean and noisy."""
    rng = np.random.default_rng([seed, round(100 * rate), 7])
    flips = PairFlips(photos["train"].classes, np.random.default_rng([seed, 11]))
    parts = {name: part.relabelled(flips.flipped(part.labels, rate, rng)) for name, part in photos.items()}
    parts["clean"] = photos["test"]
    mlp = partial(perceptron, dims=photos["train"].images[0].numel(), hidden=WIDTHS)
    arch = mlp if context.model == "mlp" else context.model
    for net in ("erm", "mixup"):
        learn(context.within(f"photos-{rate:g}.{net}"), arch, parts, net, paper.photo_epochs, seed)


def learn(
    context: Context, arch: Architecture, parts: Mapping[str, Split], net: str, epochs: int, seed: int,
    statistics: tuple[list[float], list[float]] | None = None,
) -> None:  # fmt: skip
    """A network trained to know its labels (Adam, no augmentation, no decay), and its logits on every part."""
    if context.has("test"):  # those of the test set come last
        return
    options = {"optimizer": "adam", "weight_decay": 0, "schedule": "constant", "channels_last": False}
    training = plan_training(epochs, seed, batch_size=BATCH, lr=1e-3, held_out=1, **options)
    recipes = [] if NETS[net] == 1 else [Mixup(points=NETS[net])]
    found = context.net("net", arch, parts["train"], training, recipes, statistics=statistics or "data")
    for split in sorted(parts, key=lambda s: s == "test"):
        context.predict(split, found.model, parts[split].batch())
