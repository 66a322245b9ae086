"""Linear support vector machines on features, by scikit-learn: one against all, or one against one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.imports import need
from unshaken.measure.classification.class_means import mean_class_accuracy
from unshaken.measure.statistics.columns import Indices, Numbers
from unshaken.tasks.features.transforms import Features

Mode = Literal["one-vs-all", "one-vs-one"]
Loss = Literal["hinge", "squared-hinge"]
GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Values of C to choose from, for unit vectors."""


@dataclass(frozen=True, slots=True)
class LinearSVM:
    """Fitted linear support vector machines of K classes.

    Args:
        fitted: scikit-learn's estimator.
        classes: K; the estimator knows those that it was fitted on.
    """

    fitted: Any
    classes: int

    def decision(self, features: Features, *, pool: Literal["sum", "max"] = "sum") -> Numbers:
        """Decision values `[N, K]`, minus infinity for a class that was not learned.

        Args:
            features: `[N, D]`; or `[N, V, D]`, whose V views are classified apart and pooled.
            pool: over views, `sum` or `max`.
        """
        views = features if features.ndim == 3 else features[:, None]
        values = np.asarray(self.fitted.decision_function(views.reshape(-1, views.shape[-1])))
        if values.ndim == 1:
            values = np.stack([-values, values], 1)
        values = values.reshape(*views.shape[:2], -1)
        found = np.full((len(views), self.classes), -np.inf)
        found[:, self.fitted.classes_] = values.sum(1) if pool == "sum" else values.max(1)
        return found

    def predict(self, features: Features, *, pool: Literal["sum", "max"] = "sum") -> Indices:
        """The class of the largest decision value, int `[N]`; arguments as for `decision`."""
        return np.asarray(self.decision(features, pool=pool).argmax(1), np.int64)


def fit_svm(
    features: Features,
    labels: NDArray[np.integer],
    *,
    c: float = 1.0,
    mode: Mode = "one-vs-all",
    loss: Loss = "hinge",
    classes: int | None = None,
) -> LinearSVM:
    """Minimise `|w|^2 / 2 + C sum max(0, 1 - y w.x)` for each class, or each pair of classes; there is no intercept.

    Args:
        features: `[N, D]`, best of length 1; or `[N, V, D]`, whose views are samples of the same label.
        labels: int `[N]`, from 0.
        c: C, above 0.
        mode: `one-vs-all`; or `one-vs-one`, in which pairs vote and summed margins break ties.
        loss: `hinge`; or `squared-hinge`, whose solver works in the primal and always ends, for many samples.
        classes: K; default the largest label and one.

    Raises:
        MissingExtra: scikit-learn is absent.
        ParameterError: c is not above 0.
        DataError: lengths differ, a label is missing (-1) or no whole number, a feature is not finite, or there is one
            class only.
    """
    if not c > 0:
        raise ParameterError(f"c must be above 0, not {c}: 1 is usual for unit vectors")
    labels = np.asarray(labels)
    there = len(np.unique(labels))
    if len(labels) != len(features) or there < 2:
        raise DataError(f"{len(features)} features and {len(labels)} labels of {there} classes: two are needed")
    if not np.issubdtype(labels.dtype, np.integer) or (labels < 0).any():
        raise DataError(
            f"labels must be whole numbers from 0, not {labels.dtype} from {labels.min()}: leave samples out"
        )
    bad = ~np.isfinite(features).reshape(len(features), -1).all(1)
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {len(features)} samples have features that are not finite: leave them out"
        )
    svm: Any = need("sklearn.svm", "scikit-learn", "labels", "a linear SVM")
    multiclass: Any = need("sklearn.multiclass", "scikit-learn", "labels", "a linear SVM")
    own = {"loss": loss.replace("-", "_"), "dual": loss == "hinge"}
    machine = svm.LinearSVC(C=c, **own, fit_intercept=False, max_iter=20_000, random_state=0)
    if mode == "one-vs-one" and there > 2:
        machine = multiclass.OneVsOneClassifier(machine)
    if features.ndim == 3:
        labels, features = labels.repeat(features.shape[1]), features.reshape(-1, features.shape[-1])
    count = int(labels.max()) + 1 if classes is None else classes
    return LinearSVM(machine.fit(features, labels), count)


def choose_c(
    features: Features,
    labels: NDArray[np.integer],
    *,
    grid: Sequence[float] = GRID,
    mode: Mode = "one-vs-all",
    loss: Loss = "hinge",
    held_out: float = 0.2,
    seed: int = 0,
) -> float:
    """The C with the best mean class accuracy on a part of the training samples; the smallest of equal ones.

    Args:
        features: as in `fit_svm`.
        labels: as in `fit_svm`.
        grid: values to choose from.
        mode: as in `fit_svm`.
        loss: as in `fit_svm`.
        held_out: share that is not learned from, stratified.
        seed: of the split.

    Raises:
        MissingExtra: scikit-learn is absent.
        DataError: a class has too few samples to be split.
    """
    selection: Any = need("sklearn.model_selection", "scikit-learn", "labels", "the choice of C")
    rows = np.arange(len(labels))
    try:
        learned, apart = selection.train_test_split(
            rows, test_size=held_out, stratify=labels, random_state=seed % 2**32
        )
    except ValueError as error:
        raise DataError(f"the samples cannot be split to choose C: {error}") from None
    found = []
    for c in sorted(grid):
        machine = fit_svm(features[learned], labels[learned], c=c, mode=mode, loss=loss, classes=int(labels.max()) + 1)
        found.append((mean_class_accuracy(labels[apart], machine.predict(features[apart])), -c))
    return -max(found)[1]
