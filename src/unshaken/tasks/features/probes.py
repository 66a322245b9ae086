"""Probes of frozen features: a linear classifier and a vote of nearest neighbours, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.imports import need
from unshaken.explain.engine.layer_features import Pool, layer_features
from unshaken.harden.engine.layers import last_layer
from unshaken.measure.statistics.columns import Indices, Numbers
from unshaken.tasks.features.linear_svm import GRID
from unshaken.tasks.features.transforms import Features, unit


def frozen_features(
    model: Classifier, images: Tensor, layer: str = "", *, pool: Pool = "mean", cache: bool = True
) -> Features:
    """Output of a frozen model before its head, kept by the content of weights and pixels.

    Args:
        model: a classifier, such as what `unshaken harden --method swav` leaves.
        images: uint8 `[N, C, H, W]`, as the model takes them.
        layer: as in `layer_features`; default what goes into the last linear layer.
        pool: likewise.
        cache: likewise.

    Returns:
        float32 `[N, D]`.

    Raises:
        ModelError: the model has no linear layer and none is named.
        DataError: as in `layer_features`.
    """
    name = layer or f"{last_layer(model.net)}:in"
    return np.asarray(layer_features(model, images, [name], pool=pool, cache=cache)[name].numpy())


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted probe.

    Args:
        fitted: scikit-learn's estimator, or a pipeline of such.
        normalise: whether features are brought to length 1 first.
    """

    fitted: Any
    normalise: bool

    def predict(self, features: Features) -> Indices:
        """The class of each image, int64 `[N]`.

        Raises:
            DataError: features are not `[N, D]`, or not finite.
        """
        values = check_features(features)
        return np.asarray(self.fitted.predict(unit(values) if self.normalise else values), np.int64)

    def probabilities(self, features: Features) -> Numbers:
        """Probabilities `[N, K]` of the classes in `fitted.classes_`; see `predict`."""
        values = check_features(features)
        return np.asarray(self.fitted.predict_proba(unit(values) if self.normalise else values), np.float64)


def fit_linear_probe(features: Features, labels: NDArray[np.integer[Any]], *, c: float = 1.0) -> Probe:
    """Logistic regression on features of mean 0 and deviation 1, those of the training images.

    Args:
        features: frozen, `[N, D]`.
        labels: int `[N]`, from 0; two classes at least.
        c: inverse strength of the l2 penalty, above 0; see `choose_probe_c`.

    Raises:
        MissingExtra: scikit-learn is absent.
        ParameterError: c is not above 0.
        DataError: features are not finite, labels are missing, or there is one class only.
    """
    if not c > 0:
        raise ParameterError(f"c must be above 0, not {c}: 1 is usual")
    values, classes = check_labelled(features, labels)
    linear, steps = (_sklearn(name) for name in ("linear_model", "pipeline"))
    scale = _sklearn("preprocessing").StandardScaler()
    fitted = steps.make_pipeline(scale, linear.LogisticRegression(C=c, max_iter=2000)).fit(values, classes)
    return Probe(fitted, normalise=False)


def choose_probe_c(
    features: Features, labels: NDArray[np.integer[Any]], *, grid: Sequence[float] = GRID, held_out: float = 0.2,
    seed: int = 0,
) -> float:  # fmt: skip
    """The C of `fit_linear_probe` with the best accuracy on a part of the training images; the smallest of equal ones.

    Args:
        features: frozen, `[N, D]`, of training images alone.
        labels: int `[N]`.
        grid: values to choose from.
        held_out: share that is not learned from, stratified.
        seed: of the split.

    Raises:
        MissingExtra: scikit-learn is absent.
        DataError: as in `fit_linear_probe`, or a class has too few images to be split.
    """
    values, classes = check_labelled(features, labels)
    rows = np.arange(len(classes))
    try:
        learned, apart = _sklearn("model_selection").train_test_split(
            rows, test_size=held_out, stratify=classes, random_state=seed % 2**32
        )
    except ValueError as error:
        raise DataError(f"the images cannot be split to choose C: {error}") from None
    found = []
    for c in sorted(grid):
        right = fit_linear_probe(values[learned], classes[learned], c=c).predict(values[apart]) == classes[apart]
        found.append((float(right.mean()), -c))
    return -max(found)[1]


def fit_knn_probe(
    features: Features, labels: NDArray[np.integer[Any]], *, k: int = 20, temperature: float = 0.07
) -> Probe:
    """Votes of the k nearest training images by cosine, each `exp(cosine / temperature)`.

    Args:
        features: frozen, `[N, D]`.
        labels: int `[N]`, from 0; two classes at least.
        k: images that vote; all of them where there are fewer.
        temperature: small ones let the nearest decide.

    Raises:
        MissingExtra: scikit-learn is absent.
        ParameterError: k is below 1, or the temperature is not above 0.
        DataError: features are not finite, labels are missing, or there is one class only.

    Source: Wu et al. 2018, arXiv:1805.01978.
    """
    if k < 1 or not temperature > 0:
        raise ParameterError(f"k must be at least 1 and temperature above 0, not {k} and {temperature}")
    values, classes = check_labelled(features, labels)

    def weights(distances: Numbers) -> Numbers:
        return np.asarray(np.exp(-distances / temperature))  # 1 - cosine: the same votes up to a factor

    neighbours = _sklearn("neighbors").KNeighborsClassifier(
        min(k, len(values)), metric="cosine", weights=weights, algorithm="brute"
    )
    return Probe(neighbours.fit(unit(values), classes), normalise=True)


def check_features(features: Features) -> Numbers:
    """Features as float64 `[N, D]`.

    Raises:
        DataError: they have another shape, or numbers that are not finite.
    """
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or not values.size:
        raise DataError(f"features must be [N, D] with one image at least, not {values.shape}: pool them over places")
    bad = ~np.isfinite(values).all(1)
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {len(values)} images have features that are not finite, the first is row "
            f"{int(bad.argmax())}: leave them out, or look at the model"
        )
    return values


def check_labelled(features: Features, labels: NDArray[np.integer[Any]]) -> tuple[Numbers, Indices]:
    """Features and labels that a classifier can be fitted to.

    Raises:
        DataError: see `fit_linear_probe`.
    """
    values, classes = check_features(features), np.asarray(labels)
    if classes.shape != (len(values),) or not np.issubdtype(classes.dtype, np.integer):
        raise DataError(f"labels must be whole numbers [{len(values)}], not {classes.dtype} {classes.shape}")
    if (classes < 0).any():
        raise DataError(f"{int((classes < 0).sum())} of {len(classes)} images have no label: leave them out of a probe")
    if len(np.unique(classes)) < 2:
        raise DataError("a probe needs two classes at least: all images have one label")
    return values, np.asarray(classes, np.int64)


def _sklearn(module: str) -> Any:
    return need(f"sklearn.{module}", "scikit-learn", "labels", "a probe of features")
