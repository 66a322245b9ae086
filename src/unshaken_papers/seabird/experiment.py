"""The theorem as rows; and networks that learn scenes with noise in depth, object by object on true scenes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.progress import track
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.losses.dice_loss import DiceLoss
from unshaken.measure.statistics.columns import Numbers
from unshaken.models.networks.small import UNet
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training, untrained
from unshaken.tasks.bev.boxes import rasterise
from unshaken.tasks.bev.centre_depth import CentreDepth, column_depths
from unshaken.tasks.bev.loss_noise import LOSSES, crossings, loss_noise
from unshaken_papers.seabird import (
    ARMS,
    BCE,
    DEPTH,
    DICE,
    LENGTHS,
    SIGMAS,
    STAGES,
    TWO_STAGE,
    SeaBirdPaper,
)
from unshaken_papers.seabird.detector import WEIGHT, WIDTHS, ColumnDetection, ColumnDetector, boxes_found
from unshaken_papers.seabird.linear_sgd import linear_sgd
from unshaken_papers.seabird.scenes import Scenes, draw_scenes

unet = partial(UNet, widths=WIDTHS)
"""29,562 parameters for one channel and two classes."""
PIECE = 64
Map = NDArray[Any]
"""A class for each cell, `[H, W]`."""


def run(paper: SeaBirdPaper, context: Context) -> None:
    """The theorem, then every arm of every seed; data is read first, so that absent data costs no time."""
    context.refuse_model("unet", "the experiment is about a small U-Net")
    train, test = (context.datasets.read(split).block(paper.photos, context.seed).images for split in ("train", "test"))
    write_theory(paper, context)
    for part in context.repetitions(paper.seeds):
        run_seed(paper, part, train, test)


def write_theory(paper: SeaBirdPaper, context: Context) -> None:
    """Write variances, crossing points, and errors of SGD."""
    if context.has("theory", "sgd"):
        return
    rows: list[dict[str, Any]] = []
    for loss, length, sigma in product(LOSSES, LENGTHS, SIGMAS):
        found, name = loss_noise(loss, sigma, length), f"{loss} {length:g} {sigma:g}"
        own = {"id": name, "loss": loss, "length": length, "sigma": sigma}
        rows.append({**own, "variance": found.variance, "formula": found.closed_form})
    context.write("variances", "theory", rows)
    even = [crossings(DICE, "l2", length)[0] for length in LENGTHS]
    context.write("crossings", "theory", {"id": [f"{n:g}" for n in LENGTHS], "length": list(LENGTHS), "sigma": even})
    rows = []
    for loss, length in product(("l1", "l2", DICE), LENGTHS):
        e = linear_sgd(loss, 1.0, length, runs=paper.runs, seed=context.seed)
        own = {"id": f"{loss} {length:g}", "loss": loss, "length": length}
        rows.append({**own, "predicted": e.predicted, "measured": e.measured, "error": e.error})
    context.write("sgd", "theory", rows)


def run_seed(paper: SeaBirdPaper, context: Context, train: Tensor, test: Tensor) -> None:
    """Draw scenes, train every loss at every learning rate, and write the overlap of each object."""
    seed = context.seed
    counts = {"training": paper.scenes, "test": paper.tested, "choosing": paper.choosing}
    sets = {
        name: draw_scenes(count, 3 * seed + i, noise=paper.noise, clutter=test if i else train)
        for i, (name, count) in enumerate(counts.items())
    }
    learned = sets.pop("training")
    data = Split.of(learned.images, learned.labels, classes=2)
    plan = partial(
        plan_training, seed=seed, batch_size=paper.batch_size, optimizer="adam", weight_decay=0.0, schedule="linear",
        held_out=2, check_images=2,
    )  # fmt: skip
    with track(f"SeaBird, seed {seed}", (len(ARMS) + len(STAGES)) * len(paper.rates)) as task:
        for rate in paper.rates:
            nets = {}
            for arm in ARMS:
                label = f"{arm}-{rate:g}"
                nets[arm] = context.net(label, unet, data, plan(paper.epochs, lr=rate), recipes(arm))
                for name, scenes in sets.items():
                    write_objects(context, f"{label}.{name}", arm, nets[arm].model, scenes)
                task.advance()
            for arm in STAGES:
                label = f"{arm}-{rate:g}"
                detector = untrained(ColumnDetector, data, seed)
                if arm == TWO_STAGE:
                    detector.net.get_submodule("segmenter").load_state_dict(nets[DICE].model.net.state_dict())
                stage = plan(paper.epochs if arm == TWO_STAGE else 2 * paper.epochs, lr=rate)
                recipe = ColumnDetection(weight=WEIGHT if arm == TWO_STAGE else 0.0)
                net = context.net(label, detector, data, stage, [recipe])
                for name, scenes in sets.items():
                    write_boxes(context, f"{label}.{name}", net.model, scenes)
                task.advance()
    for name, scenes in sets.items():
        if not context.has(f"truth.{name}", "boxes"):
            write_box_rows(context, f"truth.{name}", scenes.scene, scenes.boxes, np.ones(len(scenes.boxes)))


def recipes(arm: str) -> list[Recipe]:
    """Recipes of an arm; none for cross-entropy."""
    known: dict[str, list[Recipe]] = {DICE: [DiceLoss()], BCE: [], DEPTH: [CentreDepth()]}
    return known[arm]


def write_objects(context: Context, label: str, arm: str, model: Classifier, scenes: Scenes) -> None:
    """Write the overlap of each object's part of the map with the truth."""
    if context.has(label, "objects"):
        return
    with evaluating(model), torch.no_grad():
        logits = torch.cat([model(part.float() / 255) for part in torch.split(scenes.images, PIECE)])
    maps = regressed_maps(logits, scenes) if arm == DEPTH else list(logits.argmax(1).numpy()[scenes.scene])
    columns = {
        "id": [f"scene {i} object {k}" for k, i in enumerate(scenes.scene)],
        "scene": scenes.scene.tolist(), "length": scenes.boxes[:, 3].tolist(), "iou": object_overlaps(maps, scenes),
    }  # fmt: skip
    context.write("objects", label, columns)


def write_boxes(context: Context, label: str, model: Classifier, scenes: Scenes) -> None:
    """Write the boxes that a detector finds."""
    if context.has(label, "boxes"):
        return
    with evaluating(model), torch.no_grad():
        outputs = torch.cat([model(part.float() / 255) for part in torch.split(scenes.images, PIECE)])
    write_box_rows(context, label, *boxes_found(outputs))


def write_box_rows(context: Context, label: str, scene: NDArray[np.int64], boxes: Numbers, scores: Numbers) -> None:
    """Write boxes of scenes, `[M, 7]`, with their scores; one that no scene has says that all are there."""
    columns = {
        "id": [f"box {k}" for k in range(len(boxes))], "scene": scene.tolist(), "row": boxes[:, 0].tolist(),
        "column": boxes[:, 1].tolist(), "length": boxes[:, 3].tolist(), "across": boxes[:, 4].tolist(),
        "score": scores.tolist(),
    }  # fmt: skip
    nowhere = {"id": "none", "scene": -1, "row": 0.0, "column": 0.0, "length": 1.0, "across": 1.0, "score": 0.0}
    context.write("boxes", label, [columns, nowhere])


def regressed_maps(logits: Tensor, scenes: Scenes) -> list[Map]:
    """For each object a map of the object alone, with its known size, where the mean depth of its columns puts it."""
    depths, shape = column_depths(logits).numpy(), tuple(scenes.masks.shape[1:])
    found = []
    for i, box in zip(scenes.scene, scenes.boxes, strict=True):
        moved = box.copy()
        moved[0] = depths[i, columns_of(box, shape[1])].mean()
        found.append(np.asarray(rasterise(moved[None], np.ones(1, np.int64), (shape[0], shape[1])), np.float64))
    return found


def object_overlaps(maps: Sequence[Map], scenes: Scenes) -> list[float]:
    """Intersection over union of maps with true ones, in the columns of each object."""
    found = []
    for predicted, i, box in zip(maps, scenes.scene, scenes.boxes, strict=True):
        columns = columns_of(box, scenes.masks.shape[2])
        claimed, there = predicted[:, columns] == 1, scenes.masks[i].numpy()[:, columns] == 1
        found.append(float((claimed & there).sum() / max(1, (claimed | there).sum())))
    return found


def columns_of(box: Numbers, width: int) -> slice:
    """The columns whose middle an object covers that is not turned."""
    first, last = np.ceil(box[1] - box[4] / 2 - 0.5), np.floor(box[1] + box[4] / 2 - 0.5)
    return slice(max(0, int(first)), min(width, int(last) + 1))
