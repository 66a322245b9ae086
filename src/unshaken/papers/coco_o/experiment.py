"""Detectors that learn scenes plainly and in drawn colours, and what they find in six renderings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.core.registry import find_method
from unshaken.harden.engine.recipe import Recipe
from unshaken.measure.object_detection.matching import Detections
from unshaken.papers.coco_o import CLEAN, DOMAINS, PLAIN, STYLED, CocoOPaper
from unshaken.papers.coco_o.nets import StyleJitter, find_boxes, unet
from unshaken.papers.coco_o.scenes import Scenes, draw_scenes
from unshaken.papers.frame.context import Context
from unshaken.papers.frame.datasets import Split
from unshaken.papers.frame.networks import plan_training

KINDS = (1, 8, 9, 0)
"""Garments of the four classes: trouser, bag, ankle boot, T-shirt."""
PIECE = 50


def run(paper: CocoOPaper, context: Context) -> None:
    """Train and test the detectors of every seed."""
    context.refuse_model("unet", "the experiment is about small detectors trained on made scenes")
    train, test = (garments(context, split, paper.garments) for split in ("train", "test"))
    for part in context.repetitions(paper.seeds):
        run_seed(paper, part, draw_scenes(train, paper.scenes, 2 * part.seed), test)


def garments(context: Context, split: str, count: int) -> list[Tensor]:
    """Grey images of each kind of garment, uint8 `[n, 1, H, W]`.

    Raises:
        DataError: there is none of a kind.
    """
    data = context.datasets.read(split)
    grey = data.images.float().mean(1, keepdim=True).round().to(torch.uint8)
    found = [grey[data.labels == kind][:count] for kind in KINDS]
    if not all(len(images) for images in found):
        raise DataError(f"data {context.data!r}: the classes {', '.join(map(str, KINDS))} must all have images")
    return found


def run_seed(paper: CocoOPaper, context: Context, scenes: Scenes, test: Sequence[Tensor]) -> None:
    """Train the plain detectors and the one with augmentation, and show all of them every rendering."""
    data = Split.of(scenes.images, scenes.cores, classes=len(KINDS) + 1)
    last = paper.epochs[-1]
    arms: list[tuple[str, int, list[Recipe]]] = [(f"{PLAIN}-{epochs}", epochs, []) for epochs in paper.epochs]
    arms.append((STYLED, last, [StyleJitter()]))
    nets: dict[str, Classifier] = {}
    with track(f"detectors, seed {context.seed}", len(arms)) as task:
        for arm, epochs, recipes in arms:
            training = plan_training(
                epochs, context.seed, batch_size=paper.batch_size, lr=paper.lr, optimizer="adam", weight_decay=0.0,
                schedule="linear", held_out=2, check_images=2,
            )  # fmt: skip
            nets[arm] = context.net(arm, unet, data, training, recipes).model
            task.advance()
    show(context, nets, draw_scenes(test, paper.tested, 2 * context.seed + 1))


def show(context: Context, nets: Mapping[str, Classifier], scenes: Scenes) -> None:
    """Rows of the objects, and of what each detector finds in each rendering."""
    ids = tuple(f"scene{i}" for i in range(len(scenes.images)))
    if not context.has("scenes", "objects"):
        context.write("objects", "scenes", {
            "id": list(ids),
            "boxes": [o.boxes.ravel().tolist() for o in scenes.objects],
            "kinds": [o.classes.tolist() for o in scenes.objects],
        })  # fmt: skip
    batch = Batch(scenes.images.float() / 255, None, ids)
    for domain in (CLEAN, *DOMAINS):
        left = {name: net for name, net in nets.items() if not context.has(f"{name}.{domain}", "detections")}
        if not left:
            continue
        seen = batch if domain == CLEAN else find_method(domain, "stress").cls().apply(batch, 5, context.seed)
        for name, net in left.items():
            found = detect(net, seen.images)
            context.write("detections", f"{name}.{domain}", {
                "id": list(ids),
                "boxes": [d.boxes.ravel().tolist() for d in found],
                "kinds": [d.classes.tolist() for d in found],
                "scores": [d.scores.tolist() for d in found],
            })  # fmt: skip


def detect(model: Classifier, images: Tensor) -> list[Detections]:
    """What a detector finds in each image."""
    with evaluating(model), torch.no_grad():
        return [one for some in torch.split(images, PIECE) for one in find_boxes(model(some))]
