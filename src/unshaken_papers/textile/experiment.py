"""Networks on textures that tile and that do not, the closed forms beside them, and textures made to tile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.progress import track
from unshaken.explain.textures.optimise import optimise
from unshaken.explain.textures.seams import border_energy, seam_ratios
from unshaken.explain.textures.tileability import tile_score
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.models.networks.tile_net import TileNet
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training
from unshaken_papers.textile import MADE, NETS, SHOWN, UNSEEN, TextilePaper
from unshaken_papers.textile.textures import cut_from, made, usable_planes


def run(paper: TextilePaper, context: Context) -> None:
    """Each seed has textures and networks of its own."""
    context.refuse_model("tile-net", "score textures by unshaken.explain.textures")
    planes = None if context.data == MADE else usable_planes(context.datasets.read(None), paper.side)
    with track("textile", paper.seeds * (len(NETS) + 1)) as task:
        for repetition in context.repetitions(paper.seeds):
            sets = make_sets(paper, repetition.seed, planes)
            training = sets.pop("training")
            nets = {}
            for name, options in NETS.items():
                plan = plan_training(
                    paper.epochs, repetition.seed, optimizer="adamw", lr=4e-3, weight_decay=1e-2, held_out=1
                )
                arch = partial(build, **options)
                nets[name] = repetition.net(name, arch, training, plan, [CropFlip(pad=0)])
                task.advance()
            for place, textures in sets.items():
                show(repetition, nets, place, textures.batch())
            rise(paper, repetition, nets, sets["seen"])
            task.advance()


def largest_ratio(images: Tensor) -> Tensor:
    """The larger of each texture's two seam ratios, a thousand at most: `[N]`."""
    return seam_ratios(images).amax(1).clamp(max=1000)


def build(classes: int, channels: int, side: int, **options: bool) -> TileNet:
    """The network; a function of its own, so that its code is part of the cache's key."""
    return TileNet(classes, channels, side, **options)


def make_sets(paper: TextilePaper, seed: int, planes: Sequence[NDArray[np.float32]] | None) -> dict[str, Split]:
    """Textures to train on, of the same families, and of an unseen family, which a user's textures do not have."""
    first = 3 * seed
    if planes is None:
        return {
            "training": made(SHOWN, paper.textures, paper.side, first),
            "seen": made(SHOWN, paper.tested, paper.side, first + 1),
            "unseen": made(UNSEEN, paper.tested, paper.side, first + 2),
        }
    held = max(2, len(planes) // 3)
    return {
        "training": cut_from(planes[held:], paper.textures, paper.side, first),
        "seen": cut_from(planes[:held], paper.tested, paper.side, first + 1),
    }


def show(context: Context, nets: dict[str, Net], place: str, batch: Batch) -> None:
    """Rows of every network and of the closed forms on one set."""
    for name, net in nets.items():
        context.predict(f"{name}.{place}", net.model, batch)
    if not context.has(place, "seams"):
        columns = {"ratio": largest_ratio(batch.images), "energy": border_energy(batch.images)}
        tileable = (batch.labels == 1).tolist() if batch.labels is not None else []
        context.write("seams", place, {"id": list(batch.ids), "tileable": tileable, **columns})


def rise(paper: TextilePaper, context: Context, nets: dict[str, Net], textures: Split) -> None:
    """Rows of broken textures that are optimised for one network and shown to another."""
    if context.has("loss", "optimised"):
        return
    broken = textures[textures.labels == 0].first(paper.optimised).batch()
    own, other = nets["textile"].model, nets["no-attention"].model
    changed = optimise(own, broken.images, steps=paper.steps, rate=paper.rate)
    columns = {}
    with torch.no_grad():
        for when, images in (("before", broken.images), ("after", changed)):
            columns[f"own_{when}"] = tile_score(own, images)
            columns[f"other_{when}"] = tile_score(other, images)
            columns[f"ratio_{when}"] = largest_ratio(images)
    change = (changed - broken.images).square().mean((1, 2, 3)).sqrt()
    context.write("optimised", "loss", {"id": list(broken.ids), **columns, "change": change})
