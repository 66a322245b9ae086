"""Linear models of two classes, by the exact robust loss: of Gaussian and Cauchy samples, and of images."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.harden.recipes.adversarial.robust_linear import fit_robust_linear
from unshaken.harden.recipes.losses.balanced_sampling import imbalanced
from unshaken.measure.robustness.disparity_theory import DegenerateClassifierWarning
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken_papers.accuracy_disparity import CAUCHY, CENTRE, FEWER, GAUSS_EPS, PHOTO_BUDGETS, RATIOS

DIMS = 20
STEPS = 300
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def gaussian(context: Context, samples: int, seed: int) -> None:
    """`N(+-theta, I)` in 20 dimensions with `|theta| = 1.5`, and the exact robust logistic loss under l2.

    Args:
        context: with the seed as its prefix.
        samples: to learn from.
        seed: of the draw.
    """
    theta = np.full(DIMS, CENTRE / np.sqrt(DIMS))
    for ratio in RATIOS:
        rng = np.random.default_rng([seed, ratio, 1])
        x, y = two_clouds(rng.normal(size=(samples, DIMS)), ratio, theta)
        test, truth = two_clouds(rng.normal(size=(samples // 4, DIMS)), 1, theta)
        for eps in GAUSS_EPS:
            label = f"gauss-{ratio}-{eps:g}"
            if not context.has(label, "classwise"):
                model = fit_robust_linear(x, y, eps=eps, norm="l2", steps=STEPS)
                clean, robust = (model.margins(test, truth, eps=e, norm="l2") > 0 for e in (0.0, eps))
                classwise(context, label, truth, clean, robust)


def cauchy(context: Context, samples: int, seed: int) -> None:
    """One dimension, centres 3 scales from 0, and the threshold of fewest (robust) errors on the samples.

    Args:
        context: with the seed as its prefix.
        samples: to learn from.
        seed: of the draw.
    """
    for ratio in RATIOS:
        rng, centre = np.random.default_rng([seed, ratio, 2]), np.array([CAUCHY])
        x, y = two_clouds(rng.standard_cauchy((samples, 1)), ratio, centre)
        test, truth = two_clouds(rng.standard_cauchy((samples // 4, 1)), 1, centre)
        for eps in (0.0, 1.0):
            label = f"cauchy-{ratio}-{eps:g}"
            if not context.has(label, "classwise"):
                t = best_threshold(x[:, 0], y, eps)
                margins = np.where(truth, test[:, 0] - t, t - test[:, 0])
                classwise(context, label, truth, margins > 0, margins > eps)


def images(context: Context, train: Split, test: Split, largest: int, seed: int) -> None:
    """Images in [0, 1]; at the largest ratio with and without classes that count alike.

    Args:
        context: with the seed as its prefix.
        train: of two classes, 1 for the minority.
        test: likewise.
        largest: training images of the majority.
        seed: of the choice of images.
    """
    shown, truth = flat(test.images), test.labels.numpy() == 1
    for ratio in FEWER:
        some = train[imbalanced(train.labels.numpy(), ratio=ratio, classes=(0, 1), largest=largest, seed=seed)]
        table, positive = flat(some.images), some.labels.numpy() == 1
        for norm, eps in PHOTO_BUDGETS:
            for balanced in (False, True) if ratio == max(FEWER) else (False,):
                label = f"photos-{ratio}-{norm}-{eps:g}{'.balanced' if balanced else ''}"
                if context.has(label, "classwise"):
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DegenerateClassifierWarning)  # rows show it: one class has 0
                    model = fit_robust_linear(table, positive, eps=eps, norm=norm, steps=STEPS, balanced=balanced)
                clean, robust = (model.margins(shown, truth, eps=e, norm=norm) > 0 for e in (0.0, eps))
                classwise(context, label, truth, clean, robust)


def classwise(context: Context, label: str, truth: Flags, clean: Flags, robust: Flags) -> None:
    """Write the rows of one model on test samples.

    Args:
        context: with the seed as its prefix.
        label: of the condition.
        truth: bool `[N]`, whether of the minority.
        clean: bool `[N]`, whether the prediction is correct.
        robust: bool `[N]`, whether it is correct within the radius of training.
    """
    columns = {
        "id": [str(i) for i in range(len(truth))],
        "label": truth.astype(np.int64),
        "correct": clean,
        "robust": robust & clean,
    }
    context.write("classwise", label, columns)


def two_clouds(noise: Numbers, ratio: float, theta: Numbers) -> tuple[Numbers, Flags]:
    """`y theta + noise`, the minority (y = +1, True) `ratio` times rarer."""
    positive = np.arange(len(noise)) < round(len(noise) / (1 + ratio))
    return np.where(positive, 1.0, -1.0)[:, None] * theta + noise, positive


def best_threshold(x: Numbers, positive: Flags, eps: float) -> float:
    """The t of fewest samples with `y (x - t) <= eps`, exactly; infinity where the minority is best given up."""
    edges = np.where(positive, x - eps, x + eps)  # a positive is lost for t >= its edge, a negative for t <= its edge
    order = np.argsort(edges)
    lost = np.concatenate([[(~positive).sum()], (~positive).sum() + np.cumsum(np.where(positive[order], 1, -1))])
    best = int(lost.argmin())
    ordered = edges[order]
    if best == len(x):
        return float("inf")
    return float(ordered[0] - 1) if best == 0 else float((ordered[best - 1] + ordered[best]) / 2)


def flat(images: Tensor) -> Numbers:
    """Images as float64 rows in [0, 1]."""
    return np.asarray(images.flatten(1).double().div_(255).numpy(), np.float64)
