"""Detectors that learn scenes in several ways, and what they find in six renderings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.core.progress import track
from unshaken.core.registry import find_method
from unshaken.core.rng import seeded
from unshaken.papers.cache import digest_tensors
from unshaken.papers.context import Context
from unshaken_papers.coco_o import CELLS, CLEAN, DOMAINS, FROZEN, PLAIN, STYLED, CocoOPaper
from unshaken_papers.coco_o.cell_detector import CellDetector, Decoding
from unshaken_papers.coco_o.cell_training import Augment, train_cells
from unshaken_papers.coco_o.nets import jitter_style, maps_of
from unshaken_papers.coco_o.scenes import Scenes, box_table, draw_scenes

KINDS = (1, 8, 9, 0)
"""Garments of the four classes: trouser, bag, ankle boot, T-shirt."""
PIECE, MOST = 50, 20
"""Scenes that a detector sees at once; detections of a scene that are kept."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to learn scenes.

    Args:
        name: of it.
        steps: optimizer steps.
        decoding: of the detector.
        augment: of the scenes.
        frozen: whether it sees maps of the pretrained network in the place of pixels.
    """

    name: str
    steps: int
    decoding: Decoding = "peaks"
    augment: Augment | None = None
    frozen: bool = False


def arms_of(paper: CocoOPaper) -> list[Arm]:
    """Plain detectors of every number of steps, and the three that differ in one thing each."""
    last = paper.steps[-1]
    return [
        *(Arm(f"{PLAIN}-{steps}", steps) for steps in paper.steps),
        Arm(STYLED, last, augment=jitter_style),
        Arm(CELLS, last, "suppression"),
        Arm(FROZEN, last, frozen=True),
    ]


def run(paper: CocoOPaper, context: Context) -> None:
    """Train and test the detectors of every seed."""
    train, test = (context.datasets.grey_by_class(split, KINDS, paper.garments) for split in ("train", "test"))
    backbone = context.load_model(context.model)
    if backbone.view is not None and backbone.view.channels == 1:
        raise ModelError(f"model {backbone.name!r} takes one channel, and scenes have three: give a network of colour")
    for part in context.repetitions(paper.seeds):
        run_seed(paper, part, backbone, draw_scenes(train, paper.scenes, 2 * part.seed), test)


def run_seed(paper: CocoOPaper, context: Context, backbone: Classifier, scenes: Scenes, test: Sequence[Tensor]) -> None:
    """Train every arm of a seed, and show all of them every rendering."""
    boxes, maps, nets = box_table(scenes.objects), list[tuple[Tensor, int]](), dict[str, CellDetector]()
    arms = arms_of(paper)

    def features() -> tuple[Tensor, int]:  # computed once, and only where a network is not in the cache
        if not maps:
            maps.append(maps_of(backbone, scenes.images, paper.layer))
        return maps[0]

    probe, pixels = maps_of(backbone, scenes.images[:1], paper.layer)
    data = digest_tensors({"images": scenes.images, "boxes": boxes})
    with track(f"detectors, seed {context.seed}", len(arms)) as task:
        for arm in arms:
            nets[arm.name] = build(paper, arm, context.seed, probe.shape[1], pixels)
            key = {
                "arm": arm.name, "steps": arm.steps, "data": data, "seed": context.seed, "lr": paper.lr,
                "batch_size": paper.batch_size, "width": paper.width,
                **({"layer": paper.layer, "backbone": digest_tensors(backbone.state_dict())} if arm.frozen else {}),
            }  # fmt: skip
            fit = training(paper, arm, context.seed, nets[arm.name], scenes.images, boxes, features)
            weights = context.weights(arm.name, key, fit, [CellDetector, train_cells, maps_of, draw_scenes])
            nets[arm.name].load_state_dict(weights)
            task.advance()
    show(paper, context, nets, backbone, draw_scenes(test, paper.tested, 2 * context.seed + 1))


def build(paper: CocoOPaper, arm: Arm, seed: int, channels: int, pixels: int) -> CellDetector:
    """The untrained detector of an arm, in evaluation mode.

    Args:
        paper: its sizes.
        arm: the way to learn.
        seed: of the weights.
        channels: of the pretrained network's maps.
        pixels: of a cell of these maps.
    """
    with seeded(seed):
        if arm.frozen:
            return CellDetector(len(KINDS), channels, stride=1, width=paper.width, pixels=pixels).eval()
        return CellDetector(len(KINDS), width=paper.width, decoding=arm.decoding).eval()


def training(
    paper: CocoOPaper, arm: Arm, seed: int, net: CellDetector, images: Tensor, boxes: Tensor,
    features: Callable[[], tuple[Tensor, int]],
) -> Callable[[], Mapping[str, Tensor]]:  # fmt: skip
    """Function that trains a detector and gives its weights."""

    def fit() -> Mapping[str, Tensor]:
        shown = features()[0] if arm.frozen else images
        options = {"steps": arm.steps, "batch_size": paper.batch_size}
        train_cells(net, shown, boxes, lr=paper.lr, seed=seed, augment=arm.augment, **options)
        return net.state_dict()

    return fit


def show(
    paper: CocoOPaper, context: Context, nets: Mapping[str, CellDetector], backbone: Classifier, scenes: Scenes
) -> None:
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
        views = (batch if domain == CLEAN else find_method(domain, "stress").cls().apply(batch, 5, context.seed)).images
        for name, net in left.items():
            shown = maps_of(backbone, (views * 255).round().byte(), paper.layer)[0] if name == FROZEN else views
            context.write("detections", f"{name}.{domain}", {"id": list(ids), **detect(net, shown)})


def detect(net: CellDetector, images: Tensor) -> dict[str, list[list[float]]]:
    """The best detections of each scene, as columns."""
    with evaluating(net), torch.no_grad():
        found = [one for some in torch.split(images, PIECE) for one in net(some)]
    best = [one["scores"].argsort(descending=True, stable=True)[:MOST] for one in found]
    return {
        "boxes": [one["boxes"][rows].flatten().tolist() for one, rows in zip(found, best, strict=True)],
        "kinds": [one["labels"][rows].tolist() for one, rows in zip(found, best, strict=True)],
        "scores": [one["scores"][rows].tolist() for one, rows in zip(found, best, strict=True)],
    }
