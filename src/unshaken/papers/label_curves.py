"""Curves of a training on wrong labels: accuracy by true labels, and what is memorised, after every epoch."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, predict
from unshaken.core.registry import Method
from unshaken.harden.engine.cross_validation import logits_of
from unshaken.harden.engine.recipe import Epoch, Recipe
from unshaken.labels.engine.known_truth import memorisation
from unshaken.measure import share
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net
from unshaken.papers.rows import Rows, share_of

MEMORY = ("memorised", "corrected", "fitted")


class LabelCurves(Recipe):
    """Adds to the curves of a training: correct images of sets, and `Memorisation` of the training images.

    It changes nothing in the training. `truth` has the true class of each training sample, int64 `[samples]`; `images`
    (uint8) and `labels` (true) are those of each set by its name.
    """

    info: ClassVar[Method]

    truth: Tensor
    images: dict[str, Tensor]
    labels: dict[str, Tensor]

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        rows, given, predicted = epoch.evaluate(lambda images: predict(epoch.model(images)))
        truth = self.truth.to(rows.device)[rows]
        shares = memorisation(*(v.cpu().numpy() for v in (predicted, given, truth)))
        epoch.figures.update({k: v for k, v in asdict(shares).items() if not math.isnan(v)})
        for name, images in self.images.items():
            epoch.figures[f"correct.{name}"] = float(count_correct(epoch.model, images, self.labels[name]))


LabelCurves.info = Method("label-curves", "harden", LabelCurves, "Liu et al. 2020, arXiv:2007.00151")


def count_correct(model: Classifier, images: Tensor, labels: Tensor) -> int:
    """How many images a classifier gets right in evaluation mode.

    Args:
        model: in any mode.
        images: uint8 `[N, C, H, W]`.
        labels: int64 `[N]`.
    """
    return int((predict(logits_of(model, images)) == labels).sum())


def label_curves(truth: Tensor, **sets: Split) -> LabelCurves:
    """The recipe for some sets of images.

    Args:
        truth: true classes of the training samples, in their order.
        sets: with true labels, such as `test` and `choosing`.
    """
    images, labels = {k: s.images for k, s in sets.items()}, {k: s.labels for k, s in sets.items()}
    return LabelCurves(truth=truth, images=images, labels=labels)


def write_curves(context: Context, label: str, net: Net, **sets: Split) -> None:
    """Write a network's curves: `epochs`, under `<label>.<set>`, and `memorised`, under `<label>`, which comes last.

    Args:
        context: of the experiment.
        label: of the network.
        net: trained with `label_curves`.
        sets: as there.
    """
    if context.has(label, "memorised"):
        return
    numbers = [int(record["epoch"]) for record in net.curves]
    ids = [str(n) for n in numbers]
    for name, split in sets.items():
        right = [int(record[f"correct.{name}"]) for record in net.curves]
        columns = {"id": ids, "epoch": numbers, "correct": right, "n": [len(split)] * len(ids)}
        if not context.has(f"{label}.{name}", "epochs"):
            context.write("epochs", f"{label}.{name}", columns)
    shares = {name: [record.get(name, math.nan) for record in net.curves] for name in MEMORY}
    context.write("memorised", label, {"id": ids, "epoch": numbers, **shares})


def training_rows(context: Context, label: str, net: Net, noisy: Split, truth: Tensor) -> None:
    """Write what a network says of its training images after the last epoch, to the table `training`.

    Args:
        context: of the experiment.
        label: of the network.
        net: trained.
        noisy: its training images, with the labels that it learned from.
        truth: true classes, int64 `[N]`.
    """
    if not context.has(label, "training"):
        predicted = predict(logits_of(net.model, noisy.images))
        columns = {"id": list(noisy.ids), "given": noisy.labels, "truth": truth, "predicted": predicted}
        context.write("training", label, columns)


def best_epoch(rows: Rows, arm: str) -> int:
    """The epoch, from 0, after which most of the images to choose by were right; to be asked within `choosing()`."""
    return int(np.argmax(rows.table("epochs", f"{arm}.choosing").sort_by("epoch")["correct"].to_numpy()))


def training_figures(rows: Rows, arm: str, best: int) -> dict[str, Any]:
    """Accuracy by true labels after the last epoch and at the best one, and what became of the training labels.

    Args:
        rows: with the outcomes `<arm>.test`, and those of `write_curves` and `training_rows`.
        arm: label of the network.
        best: see `best_epoch`.
    """
    epochs = rows.table("epochs", f"{arm}.test").sort_by("epoch")
    right, n = (int(epochs[name][best].as_py()) for name in ("correct", "n"))
    given, truth, predicted = (rows.table("training", arm)[name].to_numpy() for name in ("given", "truth", "predicted"))
    wrong = given != truth
    memorised = rows.table("memorised", arm).sort_by("epoch")["memorised"].to_pylist()
    return {
        "last": rows.accuracy(f"{arm}.test"),
        "best": share(right, n).to_json(),
        "best_epoch": best + 1,
        "memorised": share_of((predicted == given)[wrong]),
        "corrected": share_of((predicted == truth)[wrong]),
        "fitted": share_of((predicted == given)[~wrong]),
        "wrong_labels": round(float(wrong.mean()), 4),
        "memorised_by_epoch": [round(v, 3) for v in memorised],
    }
