"""Features of every kind for two tasks, and linear machines on draws of the training images."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.imports import need
from unshaken.core.progress import track
from unshaken.core.rng import seeded
from unshaken.explain.engine.layer_features import layer_features
from unshaken.explain.engine.layers import depth_layers
from unshaken.harden.engine.layers import last_layer
from unshaken.measure.statistics.columns import Indices
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split, prepared
from unshaken.tasks.features.linear_svm import Loss, choose_c, fit_svm
from unshaken.tasks.features.transforms import Features, signed_power, unit
from unshaken.tasks.features.views import sixteen_views
from unshaken_papers.features_off_the_shelf import (
    AUGMENTED,
    CNN,
    FAR,
    HOG,
    LAYERS,
    PIXELS,
    PLAIN,
    RANDOM,
    SOURCE,
    FeaturesOffTheShelfPaper,
)

GRID = (1.0, 10.0, 100.0)
"""Values of C to choose from; after the signed power, which makes unit vectors short, the best ones are large."""
LOSS: Loss = "squared-hinge"
FOUR = (0, 5, 8, 13)
"""The views that are used: the image, its centre, and their mirror images."""
WHOLE = 1.0
"""Depth of what goes into the last layer, and of what is no layer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Features of one kind.

    Args:
        training: `[N, D]`, or `[N, V, D]` of several views.
        testing: likewise, of the test images.
        depth: of the layer, in (0, 1].
    """

    training: Features
    testing: Features
    depth: float = WHOLE


def run(paper: FeaturesOffTheShelfPaper, context: Context) -> None:
    """Both tasks; features are computed once, machines for each seed."""
    own = context.datasets.parts(paper.images, paper.test)
    far = [context.datasets.read(split, paper.far) for split in ("train", "test")]
    tasks = {
        SOURCE: (own.training, own.testing),
        FAR: (far[0].stratified(paper.images, context.seed), far[1].stratified(paper.test, context.seed)),
    }
    model = context.load_model(context.model)
    for task, (training, testing) in tasks.items():
        kinds = features_of_task(model, training, testing, everything=task == SOURCE)
        some, few = training.block(paper.views, context.seed), testing.first(paper.views)
        views = several_views(model, some, few) if task == SOURCE else {}
        with track(f"machines, {task}", paper.seeds) as progress:
            for part in context.repetitions(paper.seeds):
                rows = np.random.default_rng(part.seed).permutation(len(training))[: paper.train]
                for arm, kind in kinds.items():
                    write_kind(part, f"{task}.{arm}", kind, training, testing, rows)
                for arm, kind in views.items():
                    write_kind(part, f"{task}.{arm}", kind, some, few, rows[rows < paper.views])
                progress.advance()


def write_kind(context: Context, label: str, kind: Kind, training: Split, testing: Split, rows: Indices) -> None:
    """Choose C on a part of the training images, fit a machine to all of them, and write how it does on the test."""
    if context.has(label, "tests"):
        return
    x, y = kind.training[rows], training.labels.numpy()[rows]
    c = choose_c(x, y, grid=GRID, loss=LOSS, seed=context.seed)
    correct = fit_svm(x, y, c=c, loss=LOSS, classes=training.classes).predict(kind.testing) == testing.labels.numpy()
    columns = {"id": testing.ids, "correct": correct.tolist(), "c": c, "depth": kind.depth}
    context.write("tests", label, columns)


def features_of_task(model: Classifier, training: Split, testing: Split, *, everything: bool) -> dict[str, Kind]:
    """Features of each kind; random weights and the sweep over layers only with `everything`."""
    pixels = [prepared(model, s.images) for s in (training, testing)]
    last = last_layer(model.net) + INPUT
    sweep = depth_layers(model, pixels[0][:2].float() / 255, most=LAYERS)[:LAYERS] if everything else []
    names = [layer.name for layer in sweep]
    learned = [layer_features(model, images, [*names, last]) for images in pixels]
    found = {
        CNN: kind_of(learned, last),
        PIXELS: Kind(pixel_features(training.images), pixel_features(testing.images)),
        HOG: Kind(unit(hog_features(training.images)), unit(hog_features(testing.images))),
    }
    for i, layer in enumerate(sweep):
        found[f"layer{i}"] = kind_of(learned, layer.name, layer.depth)
    if everything:
        other = with_random_weights(model)
        found[RANDOM] = kind_of([layer_features(other, images, [last]) for images in pixels], last)
    return found


def several_views(model: Classifier, training: Split, testing: Split) -> dict[str, Kind]:
    """Unit vectors of four views of each image after the signed power, and those of the image alone."""
    last, made = last_layer(model.net) + INPUT, []
    for split in (training, testing):
        views = sixteen_views(split.images)[:, list(FOUR)].flatten(0, 1)
        found = layer_features(model, prepared(model, views), [last])[last]
        made.append(unit(found.view(len(split), len(FOUR), -1).numpy()))
    powered = [signed_power(v) for v in made]
    return {PLAIN: Kind(made[0][:, 0], made[1][:, 0]), AUGMENTED: Kind(powered[0], powered[1])}


def pixel_features(images: Tensor) -> Features:
    """All values of each image, uint8 `[N, C, H, W]`, as a unit vector."""
    return unit(images.flatten(1).numpy() / 255)


def kind_of(found: list[dict[str, Tensor]], layer: str, depth: float = WHOLE) -> Kind:
    """Unit vectors of a layer, of training and of test images."""
    training, testing = (unit(features[layer].numpy()) for features in found)
    return Kind(training, testing, depth)


def with_random_weights(model: Classifier) -> Classifier:
    """A copy whose layers are drawn anew, as torch initialises them."""
    other = copy.deepcopy(model)
    with seeded(0):
        for module in other.net.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return other.eval()


def hog_features(images: Tensor, *, cell: int = 8, bins: int = 9) -> Features:
    """HOG of the luminance, by scikit-image, blocks of 2 x 2 cells.

    Args:
        images: uint8 `[N, C, H, W]`, at least one cell high and wide.
        cell: side of a cell in pixels.
        bins: directions.

    Returns:
        `[N, D]`.

    Raises:
        MissingExtra: scikit-image is absent.
    """
    feature: Any = need("skimage.feature", "scikit-image", "explain", "HOG features")
    grey = (images.float() / 255).mean(1).numpy()
    block = min(2, min(grey.shape[1:]) // cell)
    options = {"orientations": bins, "pixels_per_cell": (cell, cell), "cells_per_block": (block, block)}
    return np.stack([feature.hog(one, **options) for one in grey])
