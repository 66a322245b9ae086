"""Images edited once, and shown to every network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.oracle import required
from unshaken.core.progress import track
from unshaken.core.registry import parse_method
from unshaken.explain.masks.object_masks import find_objects
from unshaken.papers.context import Context
from unshaken.stress.engine.attribute_edit import AttributeEdit, Edits, describe
from unshaken.stress.engine.object_layers import fill_holes, object_size, paste
from unshaken.stress.engine.object_source import GREY, find_masks
from unshaken_papers.imagenet_e import (
    EDITS,
    GARMENTS,
    LEAST,
    MOST,
    NETS,
    PLAIN,
    RANDOM,
    ROBUST,
    Edit,
    ImageNetEPaper,
)

PIECE = 64
"""Photos that are edited at once."""
UNFAIR = "mask_too_small_or_large"


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Photos whose objects are known.

    Args:
        batch: the photos.
        masks: bool `[N, H, W]`.
    """

    batch: Batch
    masks: Tensor

    def __getitem__(self, rows: Tensor | slice) -> Objects:
        return Objects(self.batch[rows], self.masks[rows])

    def __len__(self) -> int:
        return len(self.batch)


def run(paper: ImageNetEPaper, context: Context) -> None:
    """Choose the photos, edit them, and show every edit to all networks; then the same with garments.

    Raises:
        DataError: fewer than two images are left to edit.
    """
    nets = context.load_models(NETS, "three classifiers, of which the first gives the masks", ImageNetEPaper.model)
    photos = in_order(context.datasets.stratified(None, paper.photos, view=nets[0].view).batch())
    masks, _, _ = find_objects(
        nets[0], photos.images, required(photos.labels), method=paper.map, threshold=paper.threshold,
        grabcut=paper.grabcut, ids=photos.ids, seed=context.seed,
    )  # fmt: skip
    show_edits(paper, context, nets, Objects(photos, masks))
    if paper.garments:
        pair = [context.load_model(spec) for spec in (PLAIN, ROBUST)]
        data = context.datasets.stratified(None, paper.garments, spec="demo", view=pair[0].view)
        garments = in_order(data.batch())
        found, _ = find_masks(GREY, garments.images, garments.ids)
        show_edits(paper, context.within(GARMENTS), pair, Objects(garments, found[:, 0]))


def in_order(batch: Batch) -> Batch:
    """The samples in the order of their ids, in which columns of rows are read."""
    return batch[torch.tensor(sorted(range(len(batch)), key=batch.ids.__getitem__))]


def show_edits(paper: ImageNetEPaper, context: Context, nets: Sequence[Classifier], whole: Objects) -> None:
    """Outcome rows of networks on images, and on every edit of those that can be edited."""
    show(context, nets, "photos", whole.batch)
    objects = choose(paper, context, len(nets), whole)
    show(context, nets, "original", objects.batch)
    filled = fill_holes(objects.batch.images, objects.masks[:, None])
    drawn = [(context.within(f"seed{seed}"), seed) for seed in context.seeds(paper.seeds)]
    with track("edits", len(EDITS)) as task:
        for name, edit in EDITS.items():
            for part, seed in drawn if edit.is_drawn else [(context, context.seed)]:
                if not all(part.has(f"{net}.{name}") for net in range(len(nets))):
                    show(part, nets, name, edit_photos(part, name, edit, objects, filled, seed), edit)
            task.advance()


def show(context: Context, nets: Sequence[Classifier], name: str, batch: Batch, edit: Edit | None = None) -> None:
    """Outcome rows of all networks on the same pixels, resized to the size that each takes."""
    method, severity = ("clean", None) if edit is None else (edit.method.partition(":")[0], edit.severity)
    for place, net in enumerate(nets):
        size = net.input_size or tuple(batch.images.shape[2:])
        images = batch.images
        if tuple(images.shape[2:]) != size:
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
        context.predict(f"{place}.{name}", net, batch.with_images(images), method=method, severity=severity)


def choose(paper: ImageNetEPaper, context: Context, count: int, whole: Objects) -> Objects:
    """The images that all networks classify correctly, with a mask of a fair size, and that every edit can edit."""
    right = torch.from_numpy(context.rows().correct(*(f"{place}.photos" for place in range(count))))
    shares = whole.masks.double().mean((1, 2))
    fair = right & (shares >= LEAST) & (shares <= MOST)
    able = torch.zeros_like(fair)
    able[fair] = can_edit(whole[fair], context.seeds(paper.seeds))
    if int(able.sum()) < 2:
        raise DataError(
            f"{paper.info.name}: of {len(whole)} images {int(able.sum())} are classified correctly by all networks "
            "and have a usable mask: give more images, or networks that know their classes"
        )
    if not context.has("all", "choice"):
        stages = zip(right.tolist(), fair.tolist(), able.tolist(), strict=True)
        reasons = ["misclassified" if not r else UNFAIR if not f else "" if a else "not_editable" for r, f, a in stages]
        sizes = [object_size(mask) for mask in whole.masks]
        context.write("choice", "all", {"id": list(whole.batch.ids), "object_size": sizes, "reason": reasons})
    return whole[able]


def can_edit(objects: Objects, seeds: Sequence[int]) -> Tensor:
    """Whether each photo's object can be edited in every way, with every seed: bool `[N]`."""
    able = torch.ones(len(objects), dtype=torch.bool)
    for edit in (edit for edit in EDITS.values() if edit.method.startswith("object-")):
        for seed in seeds if edit.is_drawn else seeds[:1]:
            for first, piece in pieces(objects):
                made, _ = edit_objects(edit, piece, seed)
                able[[first + place for place in made.problems]] = False
    return able


def edit_photos(context: Context, name: str, edit: Edit, objects: Objects, filled: Tensor, seed: int) -> Batch:
    """All photos, edited; sizes and complexities become rows."""
    others, images, rows = filled[other_photos(len(objects), seed)], list[Tensor](), list[dict[str, object]]()
    for first, piece in pieces(objects):
        if name == RANDOM:
            masks = piece.masks[:, None]
            made = Edits(paste(piece.batch.images, masks, others[first : first + len(piece)]), masks, {})
        else:
            made, masks = edit_objects(edit, piece, seed)
        images.append(made.images)
        rows += describe(piece.batch, masks, made)
    if not context.has(name, "edits"):
        context.write("edits", name, [{k: v for k, v in row.items() if k != "error"} for row in rows])
    return objects.batch.with_images(torch.cat(images))


def edit_objects(edit: Edit, objects: Objects, seed: int) -> tuple[Edits, Tensor]:
    """Photos edited by a stressor, and the masks of the originals."""
    method: AttributeEdit = parse_method(edit.method, "stress")
    return method.with_masks(dict(zip(objects.batch.ids, objects.masks, strict=True))).edits(
        objects.batch, edit.severity, seed
    )


def other_photos(count: int, seed: int) -> Tensor:
    """For each of `count` photos the place of another one, each once: int64 `[N]`."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    found = torch.empty_like(order)
    found[order] = order.roll(1)
    return found


def pieces(objects: Objects) -> Iterator[tuple[int, Objects]]:
    """Photos in parts of at most `PIECE`, each with the place of its first."""
    for first in range(0, len(objects), PIECE):
        yield first, objects[slice(first, first + PIECE)]
