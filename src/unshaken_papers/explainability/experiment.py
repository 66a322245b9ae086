"""Networks of three algorithms and two widths; maps in the grid game, on pasted images, and under removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.core.registry import find_method
from unshaken.explain.engine.metric import Case, make_case
from unshaken.explain.metrics.deletion import Deletion
from unshaken.explain.metrics.insertion import Insertion
from unshaken.explain.metrics.mask_share import MaskShare
from unshaken.explain.metrics.pointing_game import PointingGame
from unshaken.explain.metrics.wsol import WSOL, choose_threshold
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.explainability import (
    CONTROLS,
    CORRUPTIONS,
    FULL,
    METHODS,
    NETS,
    RECIPES,
    WIDTHS,
    ExplainabilityPaper,
    name_of,
)
from unshaken_papers.explainability.known_objects import TILES, KnownObjects, make_mosaics, paste_on_noise

STRIDES = (1, 2, 1, 2)
STEPS = 16
"""Steps of insertion and deletion."""


def run(paper: ExplainabilityPaper, context: Context) -> None:
    """Train all networks, find the images that all classify rightly, and judge their maps."""
    context.refuse_model(ExplainabilityPaper.model, "use unshaken explain on a model of your own")
    parts = context.datasets.parts(paper.images, paper.tested, 2 * paper.pasted)
    test = parts.testing.batch()
    changed = {c: find_method(c).cls().apply(test, severity, context.seed) for c, severity in CORRUPTIONS.items()}
    nets = [(s, networks(paper, s, parts.training, test, changed)) for s in context.repetitions(paper.seeds)]
    labels = [f"seed{s.seed}.{name}.clean" for s, _ in nets for name in NETS]
    right = chosen_images(context, parts.testing, labels)
    mosaics = make_mosaics(right.images.float() / 255, right.labels, paper.mosaics, seed=context.seed)
    with track("maps", len(nets) * len(NETS)) as task:
        for seed, models in nets:
            for name, model in models.items():
                grid_game(seed.within(name), model, mosaics, METHODS if name in FULL else ("gradcam",))
                if name in FULL:
                    pasted_images(
                        seed.within(name),
                        model,
                        right.stratified(paper.pasted, context.seed),
                        parts.choosing.first(paper.pasted),
                    )
                removal(seed.within(name), model, right.stratified(paper.removed, context.seed))
                task.advance()


def chosen_images(context: Context, test: Split, labels: Sequence[str]) -> Split:
    """The test images that all networks classify rightly; of classes too few for a mosaic, those that most do."""
    order = np.argsort(np.array(test.ids))
    shares = context.rows().shares(*labels)
    for least in np.sort(np.unique(shares))[::-1]:
        chosen = test[order[shares >= least]]
        if len(set(chosen.labels.tolist())) >= TILES:
            break
    if not context.has("all", "chosen"):
        kept = shares[shares >= least]
        context.write("chosen", "all", {"id": sorted(chosen.ids), "right": kept.tolist()})
    return chosen


def networks(
    paper: ExplainabilityPaper, context: Context, training_data: Split, test: Batch, changed: dict[str, Batch]
) -> dict[str, Classifier]:
    """Train the networks of a seed, and test them on clean and corrupted images."""
    found = {}
    for width, widths in WIDTHS.items():
        start = partial(ConvBlocks, widths=widths, strides=STRIDES)
        for recipe, recipes in RECIPES.items():
            name = recipe + width
            training = plan_training(paper.epochs, context.seed, lr=0.1, nesterov=True, held_out=1)
            model = context.net(name, start, training_data, training, recipes).model
            context.predict(f"{name}.clean", model, test)
            for corruption, severity in CORRUPTIONS.items():
                label, batch = f"{name}.{corruption}", changed[corruption]
                context.predict(label, model, batch, method=corruption, severity=severity)
            found[name] = model
    return found


def grid_game(context: Context, model: Classifier, mosaics: KnownObjects, methods: tuple[str, ...]) -> None:
    """The share of what exceeds each map's mean that lies on the tile of its class."""
    for method in (*methods, *CONTROLS):
        label = name_of(method)
        if not context.has(label, "shares"):
            found = MaskShare(above="mean").judge(case_of(context, model, mosaics, method)).value
            context.write("shares", label, {"id": list(mosaics.ids), "value": no_share(found)})


def no_share(values: torch.Tensor) -> list[float]:
    """Values as a list; a map without a positive value has no share on the object."""
    return values.nan_to_num().tolist()


def case_of(context: Context, model: Classifier, objects: KnownObjects, method: str) -> Case:
    """The maps of images whose object is known, of the object's class."""
    return make_case(
        model, objects.images, method, classes=objects.classes, boxes=objects.boxes, ids=objects.ids, seed=context.seed
    )[0]


def pasted_images(context: Context, model: Classifier, right: Split, others: Split) -> None:
    """Pointing game and WSOL; other images choose the threshold of each method."""
    objects, choosing = (
        paste_on_noise(part.images.float() / 255, part.labels, part.ids, seed=context.seed) for part in (right, others)
    )
    for method in METHODS:
        label = name_of(method)
        if context.has(label, "pasted"):
            continue
        case = case_of(context, model, objects, method)
        wsol = with_threshold(case_of(context, model, choosing, method), objects)
        columns = {"pointing": PointingGame().judge(case).value, "iou": wsol.judge(case).value}
        values = {name: no_share(value) for name, value in columns.items()}
        context.write("pasted", label, {"id": list(objects.ids), "threshold": wsol.threshold, **values})


def with_threshold(choosing: Case, objects: KnownObjects) -> WSOL:
    """WSOL with the threshold that is best on other images; as it is where all maps of these are constant."""
    metric = WSOL(value="iou", clip=True)
    try:
        return choose_threshold(choosing, metric, judged=objects.ids)
    except DataError:
        return metric


def removal(context: Context, model: Classifier, images: Split) -> None:
    """Insertion and deletion for GradCAM's maps and for constant ones, beside the confidence on the clean image."""
    batch = images.batch()
    for kind in ("gradcam", "constant"):
        if context.has(kind, "curves"):
            continue
        case, _ = make_case(model, batch.images, "gradcam", classes=batch.labels, ids=images.ids, seed=context.seed)
        if kind == "constant":
            case = with_constant_maps(case)
        with torch.no_grad():
            confidence = model(batch.images).softmax(1).gather(1, images.labels[:, None])[:, 0]
        areas = {"insertion": Insertion(steps=STEPS), "deletion": Deletion(steps=STEPS)}
        columns = {name: metric.judge(case).value for name, metric in areas.items()}
        context.write("curves", kind, {"id": images.ids, "map": kind, "confidence": confidence, **columns})


def with_constant_maps(case: Case) -> Case:
    """The same images with maps that say nothing."""
    return replace(case, maps=torch.zeros_like(case.maps))
