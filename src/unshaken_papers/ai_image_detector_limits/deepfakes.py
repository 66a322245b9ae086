"""Classifiers of whole and of swapped images, trained under noise on their features, as rows."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.rng import SampleRng
from unshaken.detect.engine.noisy_features import features_of, flip_shares, split_network
from unshaken.detect.watermark.substitution import train_substitute
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken_papers.ai_image_detector_limits.rules import FEATURE_NOISES, GRID
from unshaken_papers.ai_image_detector_limits.scores import fresh, score, to_bytes, write_scores

AFTER = 2
"""Blocks of the network before the noise."""


def measure_deepfakes(context: Context, learn: Split, tested: Split, *, epochs: int, seed: int) -> None:
    """Rows of a classifier for each noise of its training: its scores, and how often noise turns its answers.

    Args:
        context: with the repetition as its prefix.
        learn: images to swap and to learn from.
        tested: images to swap and to test on.
        epochs: of training.
        seed: of weights, order and noise.
    """
    fakes, real = swapped_within_classes(learn), tested.batch().images
    images = torch.cat([swapped_within_classes(tested), real])
    made, n = torch.arange(2 * len(real)) < len(real), len(real)
    for noise in FEATURE_NOISES:
        label = f"deepfake.n{noise:g}"
        if context.has(f"{label}.flips.{GRID[-1]:g}", "detector_scores"):
            continue
        net = split_network(fresh(images, seed), AFTER, noise=noise, seed=seed)
        model = train_substitute(net, to_bytes(fakes), learn.images, epochs=epochs, lr=2e-3, noise=0.0, seed=seed).model
        features = features_of(model, images)
        apart = (features[:n] - features[n:]).flatten(1).norm(dim=1)
        ids, change = tested.ids * 2, apart.repeat(2)
        if not context.has(f"{label}.clean", "detector_scores"):
            scores = score(model, images)
            write_scores(context, f"{label}.clean", "deepfake", ids, scores, made, 1, strength=noise, change=change)
        rng = SampleRng.of(seed, "limits/flips", [f"{kind}/{i}" for kind in ("swapped", "real") for i in tested.ids])
        for strength, flips in zip(GRID, flip_shares(model, features, GRID, rng), strict=True):
            name = f"{label}.flips.{strength:g}"
            if not context.has(name, "detector_scores"):
                write_scores(context, name, "deepfake", ids, flips, made, 1, strength=strength)


def swapped_within_classes(data: Split) -> Tensor:
    """Each image with the middle of another one of its class, as float in [0, 1]; a lone one of a class gives its own.

    Args:
        data: labelled images.
    """
    donors = torch.arange(len(data))
    for label in range(data.classes):
        rows = (data.labels == label).nonzero()[:, 0]
        donors[rows] = rows.roll(1)
    images = data.images.float() / 255
    return swapped(images, images[donors])


def swapped(images: Tensor, donors: Tensor) -> Tensor:
    """The middle of other images blended into images, in the colours of the place, as a swapped face is.

    The mask is an ellipse whose edge fades over a tenth of the side; the donor's pixels get the mean and the deviation
    that each channel has below the mask.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        donors: as many.
    """
    height, width = images.shape[2:]
    y, x = ((torch.arange(n) + 0.5) / n - 0.5 for n in (height, width))
    away = torch.hypot(y[:, None] / 0.33, x[None] / 0.25)
    mask = ((1 - away) / 0.3 + 0.5).clamp(0, 1)
    share = mask / mask.sum()

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (share * x).sum((2, 3), keepdim=True)
        return mean, (share * (x - mean).square()).sum((2, 3), keepdim=True).sqrt()

    (mean, deviation), (own_mean, own_deviation) = moments(images), moments(donors)
    matched = (donors - own_mean) / own_deviation.clamp(min=1e-3) * deviation + mean
    return ((images + mask * (matched - images)).clamp(0, 1) * 255).round() / 255  # as an 8-bit file holds them
