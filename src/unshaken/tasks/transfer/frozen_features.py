"""`frozen-features`: how far the layers of a network carry on other data, by linear classifiers and by retrieval."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import INPUT
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.imports import need
from unshaken.core.progress import track
from unshaken.core.registry import register
from unshaken.core.tables import declare_table
from unshaken.explain.engine.layer_features import Pool
from unshaken.harden.engine.layers import last_layer
from unshaken.measure import Figure
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import share
from unshaken.measure.statistics.means import mean_figure
from unshaken.measure.statistics.paired import compare
from unshaken.measure.statistics.spread import figure_of_means
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing
from unshaken.tasks.features.linear_svm import choose_c, fit_svm
from unshaken.tasks.features.probes import choose_probe_c, fit_knn_probe, fit_linear_probe
from unshaken.tasks.features.samples import PIXELS, SampleFeatures, read_features, with_classes_of
from unshaken.tasks.features.transforms import fit_whitening, unit

Classifier = Literal["svm", "logistic", "knn"]

FROZEN_FEATURES = declare_table(
    "frozen_features",
    "id string, condition string, method string, layer string, classifier string, label int64, name string, "
    "prediction int64, predicted string, correct bool",
)
"""A test image a row, for each layer and classifier of its features."""
FROZEN_RETRIEVAL = declare_table(
    "frozen_retrieval",
    "id string, condition string, method string, layer string, label int64, name string, average_precision double, "
    "first_correct bool, relevant int64",
)
"""A test image a row, that asks for the training images of its class by the features of a layer."""


def class_precision(similarities: Numbers, relevant: NDArray[np.bool_]) -> Numbers:
    """The average precision of each query, `[Q]`: the mean over its relevant images of the precision at their rank.

    Images that are equally similar to a query come in together, with the precision behind the last of them.

    Args:
        similarities: of Q queries with G images, the larger the nearer, `[Q, G]`.
        relevant: which images are of the query's class, bool `[Q, G]`, one at least a query.

    >>> class_precision(np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[True, False, True, False]])).round(4).tolist()
    [0.8333]
    """
    found = np.empty(len(similarities))
    for row, (values, own) in enumerate(zip(similarities, relevant, strict=True)):
        order = np.argsort(-values, kind="stable")
        hits = own[order].cumsum()
        last = np.searchsorted(-values[order], -values[order], side="right")  # rank of the last one as similar
        found[row] = (hits[last - 1] / last)[own[order]].mean()
    return found


@register("frozen-features", reference="Razavian et al. 2014, arXiv:1403.6382")
class FrozenFeatures(Evaluation):
    """Linear classifiers and retrieval on the output of a network's layers, which is not trained any more.

    Classifiers learn from the training images and are judged on the data; in retrieval each image of the data asks for
    the training images of its class. The same is done with the pixels alone: what is not above them owes nothing to
    the network.
    """

    title: ClassVar[str] = "How well do frozen features serve other data?"
    measures: ClassVar[tuple[str, ...]] = ("accuracy", "class_accuracy", "difference", "map", "recall_1")

    train: str = Field(default="", description="data SPEC of the training images; default a share of the data")
    share: float = Field(
        default=0.5, gt=0, lt=1, description="share of the data to train on, stratified, where train is not given"
    )
    layers: tuple[str, ...] = Field(
        default=(), description="layers, NAME:in for an input; default what enters the last linear"
    )
    pool: Pool = Field(default="mean", description="how maps become a feature; maps is no choice here")
    classifiers: tuple[Classifier, ...] = Field(
        default=("svm", "logistic"),
        description="svm on vectors of length 1, logistic on standardised ones, knn by cosine",
    )
    c: float | None = Field(default=None, gt=0, description="inverse of the penalty; default chosen on training images")
    k: int = Field(default=20, ge=1, description="neighbours that vote in knn")
    retrieval: bool = Field(default=True, description="rank the training images for each image")
    whiten: int = Field(default=0, ge=0, description="principal components of whitening before retrieval; 0 for none")
    pixels: bool = Field(default=True, description="try the same with the pixels, at most 16 x 16, as the control")

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return (self.train,) if self.train else ()

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        layers = list(self.layers) or [last_layer(subject.model.net) + INPUT]
        every = [*layers, *([PIXELS] if self.pixels else [])]
        keys = {layer: re.sub(r"[^A-Za-z0-9+]+", "-", layer).strip("-") for layer in every}
        if len({*keys.values()}) < len(every):
            raise ParameterError(f"frozen-features: layers {', '.join(every)} are not told apart by letters and digits")
        if self.train:
            learned = read_features(subject.with_data(self.train), "train", every, pool=self.pool)
            judged = with_classes_of(learned, read_features(subject, "test", every, pool=self.pool))
        else:
            learned, judged = _divide(read_features(subject, "all", every, pool=self.pool), self.share, subject.seed)
        rows, ranks = dict[tuple[str, str], pa.Table](), dict[str, pa.Table]()
        parts = [(layer, name) for layer in every for name in self.classifiers]
        with track("frozen features", len(parts)) as task:
            for layer, name in parts:
                fit = partial(self._classify, layer, name, learned, judged, subject.seed)
                rows[keys[layer], name] = subject.rows("frozen_features", f"{keys[layer]}_{name}", fit)
                task.advance()
        for layer in every if self.retrieval else ():
            rank = partial(self._retrieve, layer, learned, judged)
            ranks[keys[layer]] = subject.rows("frozen_retrieval", keys[layer], rank)
        return self._findings(rows, ranks, learned, judged)

    @override
    def check(self, subject: EvaluationSubject) -> None:
        need("sklearn", "scikit-learn", "labels", "linear classifiers of features")
        for name, values in (("layers", self.layers), ("classifiers", self.classifiers)):
            if len({*values}) != len(values):
                raise ParameterError(f"frozen-features: {name} names one twice: name each once")
        if not self.classifiers and not self.retrieval:
            raise ParameterError("frozen-features: neither classifiers nor retrieval: name one")
        if self.pool == "maps":
            raise ParameterError("frozen-features: pool=maps gives no vectors: choose mean, max, gem or flat")

    def _classify(
        self, layer: str, name: str, learned: SampleFeatures, judged: SampleFeatures, seed: int
    ) -> Mapping[str, Sequence[Any]]:
        """Rows of a classifier that is fitted to the training images."""
        features, labels = learned.features[layer].numpy(), learned.labels.numpy()
        asked = judged.features[layer].numpy()
        if name == "svm":
            features, asked = unit(features), unit(asked)
            c = self.c or choose_c(features, labels, loss="squared-hinge", seed=seed)
            predicted = fit_svm(features, labels, c=c, loss="squared-hinge").predict(asked)
        elif name == "logistic":
            predicted = fit_linear_probe(
                features, labels, c=self.c or choose_probe_c(features, labels, seed=seed)
            ).predict(asked)
        else:
            predicted = fit_knn_probe(features, labels, k=self.k).predict(asked)
        truth, n = judged.labels.numpy(), len(asked)
        return {
            "id": list(judged.ids), "layer": [layer] * n, "classifier": [name] * n, "label": truth.tolist(),
            "name": [learned.name_of(k) for k in truth.tolist()], "prediction": predicted.tolist(),
            "predicted": [learned.name_of(k) for k in predicted.tolist()], "correct": (predicted == truth).tolist(),
        }  # fmt: skip

    def _retrieve(self, layer: str, learned: SampleFeatures, judged: SampleFeatures) -> Mapping[str, Sequence[Any]]:
        """Rows of the queries by cosine; whitening is fitted to the training images alone."""
        there, asked = (unit(each.features[layer].double().numpy()) for each in (learned, judged))
        if self.whiten:
            white = fit_whitening(there, self.whiten)
            there, asked = (white.for_retrieval(values) for values in (there, asked))
        known = np.isin(judged.labels.numpy(), learned.labels.numpy())
        similar, truth = asked[known] @ there.T, judged.labels.numpy()[known]
        relevant = truth[:, None] == learned.labels.numpy()
        best = similar == similar.max(1, keepdims=True)
        n = len(truth)
        return {
            "id": [i for i, one in zip(judged.ids, known, strict=True) if one], "layer": [layer] * n,
            "label": truth.tolist(), "name": [learned.name_of(k) for k in truth.tolist()],
            "average_precision": class_precision(similar, relevant).tolist(),
            "first_correct": (relevant | ~best).all(1).tolist(), "relevant": relevant.sum(1).tolist(),
        }  # fmt: skip

    def _findings(
        self, rows: Mapping[tuple[str, str], pa.Table], ranks: Mapping[str, pa.Table], learned: SampleFeatures,
        judged: SampleFeatures,
    ) -> EvaluationFindings:  # fmt: skip
        figures, control = dict[str, Figure](), PIXELS
        right = {key: table["correct"].to_numpy(zero_copy_only=False) for key, table in rows.items()}
        for (layer, name), correct in right.items():
            figures[f"accuracy_{layer}_{name}"] = share(int(correct.sum()), len(correct))
            figures[f"class_accuracy_{layer}_{name}"] = class_accuracy(rows[layer, name]["label"].to_numpy(), correct)
            if layer != control and (control, name) in right:
                figures[f"difference_{layer}_{name}"] = compare(right[control, name], correct).difference
        for layer, table in ranks.items():
            precision, first = (
                table[key].to_numpy(zero_copy_only=False) for key in ("average_precision", "first_correct")
            )
            figures[f"map_{layer}"] = mean_figure(precision, low=0.0, high=1.0)
            figures[f"recall_1_{layer}"] = share(int(first.sum()), len(first))
        layers = list(dict.fromkeys([*(layer for layer, _ in rows), *ranks]))
        first_layer, answer = layers[0], list[str]()
        for name in self.classifiers:
            found = figures[f"accuracy_{first_layer}_{name}"]
            answer.append(
                f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f} %) of {len(judged.ids):,} "
                f"images are classified correctly by {SHOWN[name]} on {first_layer}, fitted to {len(learned.ids):,} "
                f"others{_above(figures, first_layer, name)}."
            )
        if ranks:
            answer.append(
                f"By cosine the images of its class are found with a mean average precision of "
                f"{figures[f'map_{first_layer}'].value:.3f}"
                + (f"; by pixels {figures[f'map_{control}'].value:.3f}." if control in ranks else ".")
            )
        columns = [(SHOWN[name].partition(" ")[2], f"accuracy_{{}}_{name}") for name in self.classifiers]
        columns += [("mAP", "map_{}"), ("nearest is right", "recall_1_{}")] if ranks else []
        table = Listing(
            "Accuracy of classifiers on each layer's features, and retrieval of the training images of a class.",
            ("layer", *(title for title, _ in columns)),
            tuple((layer, *(figures.get(key.format(layer)) for _, key in columns)) for layer in layers),
        )
        listings = [table]
        if right:
            first = next(iter(right))
            listings.append(_by_class(*first, rows[first]))
        unlabelled = learned.unlabelled + (judged.unlabelled if self.train else 0)
        return EvaluationFindings(
            rows={}, figures=figures, answer=tuple(answer), listings=tuple(listings),
            remarks=(f"{unlabelled} samples have no label and were left out",) if unlabelled else (),
            extra={"trained_on": len(learned.ids), "judged_on": len(judged.ids)},
            forwards=len(learned.ids) + len(judged.ids),
        )  # fmt: skip


SHOWN = {"svm": "a linear SVM", "logistic": "a logistic regression", "knn": "a vote of neighbours"}
"""Classifier to its name in sentences."""


def class_accuracy(labels: NDArray[np.int64], correct: NDArray[np.bool_]) -> Figure:
    """The mean over classes of the share of their samples that are right, with its interval over samples.

    Args:
        labels: int `[N]`.
        correct: bool `[N]`.
    """
    own = labels[:, None] == np.unique(labels)
    columns = np.concatenate([own & correct[:, None], own], 1).astype(np.float64)

    def mean(means: Numbers) -> Numbers:
        hits, given = np.split(means, 2, axis=-1)
        there = given > 0
        shares = np.where(there, hits / np.where(there, given, 1.0), 0.0)
        return np.asarray(shares.sum(-1) / np.maximum(there.sum(-1), 1))

    def possible() -> Numbers:
        k = own.shape[1]
        return np.concatenate([np.concatenate([np.eye(k) * right, np.eye(k)], 1) for right in (0.0, 1.0)])

    return figure_of_means(columns, mean, possible=possible)


def _above(figures: Mapping[str, Figure], layer: str, name: str) -> str:
    more = figures.get(f"difference_{layer}_{name}")
    if more is None:
        return ""
    points = f"{abs(100 * more.value):.1f} points {'above' if more.value >= 0 else 'below'} the pixels"
    return f", {points} ({100 * more.low:+.1f} to {100 * more.high:+.1f})"


def _by_class(layer: str, name: str, table: pa.Table) -> Listing:
    """Accuracy of each class, the hardest first, and what it is taken for most."""
    rows = table.to_pylist()
    lines = list[tuple[float, tuple[str, Figure, str | None]]]()
    for label in sorted({r["label"] for r in rows}):
        own = [r for r in rows if r["label"] == label]
        wrong = [r["predicted"] for r in own if not r["correct"]]
        most = max(sorted({*wrong}), key=wrong.count) if wrong else None
        found = share(len(own) - len(wrong), len(own))
        lines.append((found.value, (own[0]["name"], found, most)))
    caption = f"Accuracy of each class by {SHOWN[name]} on {layer}, the hardest first."
    return Listing(
        caption,
        ("class", "accuracy", "taken for most"),
        tuple(line for _, line in sorted(lines, key=lambda one: one[0])),
    )


def _divide(samples: SampleFeatures, share: float, seed: int) -> tuple[SampleFeatures, SampleFeatures]:
    """Samples divided for training and for judging, class by class.

    Raises:
        DataError: a class has one sample only.
    """
    learned = torch.zeros(len(samples.ids), dtype=torch.bool)
    rng = np.random.default_rng(seed)
    for label in samples.labels.unique().tolist():  # type: ignore[no-untyped-call]
        own = rng.permutation((samples.labels == label).nonzero().flatten().numpy())
        if len(own) < 2:
            raise DataError(
                f"frozen-features: class {samples.name_of(label)!r} has {len(own)} image: it needs two to be divided; "
                "give train=SPEC, or leave the class out"
            )
        learned[own[: min(max(1, round(share * len(own))), len(own) - 1)]] = True
    return _chosen(samples, learned), _chosen(samples, ~learned)


def _chosen(samples: SampleFeatures, kept: Tensor) -> SampleFeatures:
    own = {layer: values[kept] for layer, values in samples.features.items()}
    ids = tuple(i for i, keep in zip(samples.ids, kept.tolist(), strict=True) if keep)
    return replace(samples, features=own, labels=samples.labels[kept], ids=ids)
