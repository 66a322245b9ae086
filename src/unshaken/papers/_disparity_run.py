"""What is drawn, fitted and kept as rows for the experiment with imbalanced classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.progress import Task
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.imbalance import imbalanced
from unshaken.harden.recipes.adversarial.robust_linear import Norm, fit_robust_linear
from unshaken.measure.robustness.disparity_theory import DegenerateClassifierWarning
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part

CLASSWISE = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("eps", pa.float64()),
        ("norm", pa.string()),
        ("label", pa.int64()),
        ("correct", pa.bool_()),
        ("robust", pa.bool_()),
    ]
)
"""One row a test sample and a model; label 1 is the minority. `robust` is right within the training radius."""
SCHEMAS["classwise"] = CLASSWISE

RATIOS = (1, 2, 5, 10)
FEWER = (1, 5, 10)
GAUSS_EPS = (0.0, 0.25, 0.5, 0.75)
CENTRE = 1.5
DIMS = 20
CAUCHY = 3.0
PHOTO_BUDGETS: Sequence[tuple[Norm, float]] = (("l2", 0.0), ("l2", 0.5), ("l2", 1.0), ("linf", 0.05), ("linf", 0.1))
STEPS = 300
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two classes of a data set, label 1 for the minority.

    Args:
        train: images uint8 `[N, C, H, W]` and labels.
        test: likewise.
        fingerprint: of both splits.
        name: of the classes.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    fingerprint: tuple[str, str]
    name: str


def load_pair(spec: str, majority: int, minority: int, *, download: bool = False) -> Pair:
    """The images of two classes from the splits train and test.

    Raises:
        DataError: the data is absent, or does not fit into memory.
        ParameterError: it has no such classes.
    """
    joint = "&" if "?" in spec else "?"
    parts, prints, names = [], [], ""
    for split in ("train", "test"):
        data = load_data(f"{spec}{joint}split={split}", download=download)
        count = len(data.classes) or (0 if data.labels is None else int(data.labels.max()) + 1)
        if max(majority, minority) >= count:
            raise ParameterError(
                f"data {spec!r} has {count} classes: majority={majority}, minority={minority} do not fit"
            )
        samples = Samples(data, None, count)
        if samples.resident is None:
            raise DataError(f"data {spec!r} does not fit into memory: name a smaller one")
        labels = samples.labels[torch.from_numpy(samples.good)]
        rows = (labels == majority) | (labels == minority)
        parts.append((samples.resident[rows], (labels[rows] == minority).long()))
        prints.append(data.fingerprint)
        if data.classes:
            names = f"{data.classes[majority]} (majority) and {data.classes[minority]}"
    return Pair(parts[0], parts[1], (prints[0], prints[1]), names or f"classes {majority} (majority) and {minority}")


class Linear:
    """Linear models: Gaussian and Cauchy samples, and images of two classes.

    Args:
        bench: where the rows go.
        task: advances by one for each model.
        samples: training samples of synthetic data.
    """

    def __init__(self, bench: Bench, task: Task, samples: int) -> None:
        self.bench, self.task, self.samples = bench, task, samples

    def gaussian(self, seed: int) -> None:
        """`N(+-theta, I)` in 20 dimensions with `|theta| = 1.5`, and the exact robust logistic loss under l2."""
        theta = np.full(DIMS, CENTRE / np.sqrt(DIMS))
        for ratio in RATIOS:
            rng = np.random.default_rng([seed, ratio, 1])
            x, y = two_clouds(self.samples, ratio, lambda n, rng=rng: rng.normal(size=(n, DIMS)), theta)
            test, truth = two_clouds(self.samples // 4, 1, lambda n, rng=rng: rng.normal(size=(n, DIMS)), theta)
            for eps in GAUSS_EPS:
                label = f"s{seed}.gauss-{ratio}-{eps:g}"
                if not self.there(label):
                    model = fit_robust_linear(x, y, eps=eps, norm="l2", steps=STEPS)
                    clean, robust = (model.margins(test, truth, eps=e, norm="l2") > 0 for e in (0.0, eps))
                    self.keep(label, "robust-linear", "l2", eps, truth, clean, robust)
                self.task.advance()

    def cauchy(self, seed: int) -> None:
        """One dimension, centres 3 scales from 0, and the threshold of fewest (robust) errors on the samples."""
        for ratio in RATIOS:
            rng = np.random.default_rng([seed, ratio, 2])
            centre = np.array([CAUCHY])
            x, y = two_clouds(self.samples, ratio, lambda n, rng=rng: rng.standard_cauchy((n, 1)), centre)
            test, truth = two_clouds(self.samples // 4, 1, lambda n, rng=rng: rng.standard_cauchy((n, 1)), centre)
            for eps in (0.0, 1.0):
                label = f"s{seed}.cauchy-{ratio}-{eps:g}"
                if not self.there(label):
                    t = best_threshold(x[:, 0], y, eps)
                    margins = np.where(truth, test[:, 0] - t, t - test[:, 0])
                    self.keep(label, "threshold", "l2", eps, truth, margins > 0, margins > eps)
                self.task.advance()

    def photos(self, pair: Pair, seed: int, largest: int) -> None:
        """Images of two classes in [0, 1], with and without classes that count alike."""
        x, y = pair.train
        test, truth = flat(pair.test[0]), pair.test[1].numpy() == 1
        for ratio in FEWER:
            rows = torch.from_numpy(imbalanced(y.numpy(), ratio=ratio, classes=(0, 1), largest=largest, seed=seed))
            table, positive = flat(x[rows]), y[rows].numpy() == 1
            for norm, eps in PHOTO_BUDGETS:
                for balanced in (False, True) if ratio == max(FEWER) else (False,):
                    label = f"s{seed}.photos-{ratio}-{norm}-{eps:g}{'.balanced' if balanced else ''}"
                    if not self.there(label):
                        with warnings.catch_warnings():
                            warnings.simplefilter(
                                "ignore", DegenerateClassifierWarning
                            )  # its rows tell: one class has 0
                            model = fit_robust_linear(
                                table, positive, eps=eps, norm=norm, steps=STEPS, balanced=balanced
                            )
                        clean, robust = (model.margins(test, truth, eps=e, norm=norm) > 0 for e in (0.0, eps))
                        self.keep(label, "robust-linear", norm, eps, truth, clean, robust)
                    self.task.advance()

    def there(self, label: str) -> bool:
        """Whether its rows are finished."""
        return self.bench.run.has_rows("classwise", label, 0)

    def keep(self, label: str, method: str, norm: str, eps: float, truth: Any, clean: Any, robust: Any) -> None:
        """Rows of one model."""
        self.bench.keep([classwise(Condition(label, method, eps=eps, norm=norm), truth, clean, robust)], 0)


def classwise(condition: Condition, truth: Any, clean: Any, robust: Any) -> Part:
    """Rows of one model on test samples.

    Args:
        condition: where they belong.
        truth: bool `[N]`, whether of the minority.
        clean: bool `[N]`, right.
        robust: bool `[N]`, right within the radius.
    """
    columns: Mapping[str, Any] = {
        "id": [str(i) for i in range(len(truth))],
        "label": np.asarray(truth).astype(np.int64),
        "correct": np.asarray(clean, bool),
        "robust": np.asarray(robust, bool) & np.asarray(clean, bool),
    }
    return Part("classwise", condition, dict(columns))


def two_clouds(n: int, ratio: float, noise: Any, theta: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """`y theta + noise`, the minority (y = +1, True) `ratio` times rarer."""
    positive = np.arange(n) < round(n / (1 + ratio))
    return np.where(positive, 1.0, -1.0)[:, None] * theta + noise(n), positive


def best_threshold(x: Numbers, positive: NDArray[np.bool_], eps: float) -> float:
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
