"""Networks that learn scenes from rough masks, in several ways, and their masks on clean scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.masks import overlap_counts
from unshaken.core.progress import track
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.noisy_labels.adele import ADELE
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training
from unshaken_papers.adele import ADAPTIVE, AGREEING, FULL, GLOBAL, KINDS, ORACLE, PLAIN, AdelePaper
from unshaken_papers.adele.nets import WatchMasks, unet
from unshaken_papers.adele.scenes import draw_scenes, spoil_masks

CLASSES = len(KINDS) + 1
APPEARANCE: Mapping[str, Any] = {"contrast": (1.0, 0.9, 1.0, 0.8), "sizes": (24, 24, 24, 28)}
STEPS = ((1, 2), (2, 3), (1, 3), (1, 3))
"""Fewest and most erosions or dilations of each class."""
BAG = 2
"""The class of which instances are forgotten."""
PIECE = 50


def run(paper: AdelePaper, context: Context) -> None:
    """Train every arm of every seed."""
    context.refuse_model("unet", "the experiment is about a small U-Net")
    train, test = (context.datasets.grey_by_class(split, KINDS, paper.garments) for split in ("train", "test"))
    for part in context.repetitions(paper.seeds):
        run_seed(paper, part, train, test)


def run_seed(paper: AdelePaper, context: Context, train: Sequence[Tensor], test: Sequence[Tensor]) -> None:
    """Draw scenes and rough masks, train all arms, and evaluate each on clean scenes."""
    seed = context.seed
    images, truth = draw_scenes(train, paper.scenes, 2 * seed, **APPEARANCE)
    given = spoil_masks(truth, STEPS, BAG, paper.dropped, seed)
    shown, wanted = draw_scenes(test, paper.tested, 2 * seed + 1, **APPEARANCE)
    data = Split.of(images, given, classes=CLASSES)
    watch = WatchMasks(truth=truth, given=given)
    nets: dict[str, Net] = {}
    with track(f"ADELE, seed {seed}", len(paper.arms)) as task:
        for arm in paper.arms:
            training = plan_training(
                paper.epochs, seed, batch_size=paper.batch_size, lr=paper.lr, optimizer="adam", weight_decay=0.0,
                schedule="linear", held_out=2, check_images=2,
            )  # fmt: skip
            net = nets[arm] = context.net(arm, unet, data, training, [*recipes(paper, arm, nets), watch])
            write_epochs(context, arm, net)
            write_masks(context, arm, net.model, shown, wanted)
            task.advance()


def recipes(paper: AdelePaper, arm: str, nets: Mapping[str, Net]) -> list[Recipe]:
    """Recipes of an arm.

    Args:
        paper: its settings.
        arm: its name.
        nets: those trained before: one start for all classes is the mean of their own starts, and starts found from the
            truth are the epochs at which plain training agrees best with it.
    """
    one = (1.0,)
    if arm == PLAIN:
        return []
    if arm == ADAPTIVE:
        return [ADELE(scales=one, every=paper.every)]
    if arm == GLOBAL:
        starts = list(starts_of(nets[ADAPTIVE]).values())
        return [ADELE(scales=one, every=paper.every, starts=(max(1, round(sum(starts) / max(1, len(starts)))),))]
    if arm == FULL:
        return [ADELE(every=paper.every, statistics="own")]
    if arm == AGREEING:
        return [ADELE(correct=False, statistics="own")]
    if arm == ORACLE:
        curves = nets[PLAIN].curves
        best = [max(range(len(curves)), key=lambda e, k=k: curves[e][f"early_{k}"]) for k in range(1, CLASSES)]  # type: ignore[misc]
        return [ADELE(every=paper.every, starts=tuple(max(1, e) for e in best), statistics="own")]
    raise ValueError(arm)


def starts_of(net: Net) -> dict[int, int]:
    """The start of correction of each class that is corrected, by its number."""
    last = net.curves[-1]
    return {k: int(last[f"start_{k}"]) for k in range(1, CLASSES) if f"start_{k}" in last}


def write_epochs(context: Context, arm: str, net: Net) -> None:
    """Write what was watched, one row an epoch and class."""
    if context.has(arm, "epochs"):
        return
    rows = []
    for record, k in product(net.curves, range(1, CLASSES)):
        start = record.get(f"start_{k}")
        rows.append({
            "id": f"{int(record['epoch'])}-{k}", "epoch": int(record["epoch"]), "kind": k,
            "iou": record.get(f"iou_{k}"), "early": record[f"early_{k}"], "memorised": record[f"memorised_{k}"],
            "labels": record.get(f"labels_{k}"), "start": None if start is None else int(start),
        })  # fmt: skip
    context.write("epochs", arm, rows)


def write_masks(context: Context, arm: str, model: Classifier, images: Tensor, masks: Tensor) -> None:
    """Write the overlap of predicted and true masks, one row a scene and class."""
    if context.has(arm, "masks"):
        return
    counts = []
    with evaluating(model), torch.no_grad():
        for some, true in zip(torch.split(images, PIECE), torch.split(masks, PIECE), strict=True):
            predicted = model(some.float() / 255).argmax(1)
            counts += [overlap_counts(p, t, CLASSES) for p, t in zip(predicted, true, strict=True)]
    table = torch.stack(counts)  # [N, 3, K]
    rows = []
    for i, k in product(range(len(table)), range(1, CLASSES)):
        values = dict(zip(("intersection", "predicted", "labelled"), table[i, :, k].tolist(), strict=True))
        rows.append({"id": f"scene {i}", "kind": k, **values})
    context.write("masks", arm, rows)
