"""Networks that learn from natural, random and searched views, attacked anew on unseen objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.attack.viewpoint.base import ViewAttack
from unshaken.attack.viewpoint.gmvfool import GMVFool
from unshaken.attack.viewpoint.natural_views import NaturalViews
from unshaken.attack.viewpoint.random_views import RandomViews
from unshaken.attack.viewpoint.viewfool import ViewFool
from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.data.viewpoint.object_set import FRONT, ObjectSet, require_objects
from unshaken.harden.recipes.adversarial import viat
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training
from unshaken_papers.viewpoint_adversarial_training import (
    ALONE,
    BASE,
    NATURAL,
    RANDOM,
    SINGLE,
    SMALL,
    VIAT,
    ViewpointPaper,
)
from unshaken_papers.viewpoint_adversarial_training.nets import grouped_convs


def run(paper: ViewpointPaper, context: Context) -> None:
    """All networks of all seeds; data is read first, so that absent data costs no time."""
    training, testing = (require_objects(context.datasets.open(split), paper.info.name) for split in ("train", "test"))
    photos, chosen = (
        natural_views(training, paper.photos, context.seed),
        some_of_each(testing, paper.tested, context.seed),
    )
    boxes = ["upright", "whole"] if paper.whole else ["upright"]
    arms = [NATURAL, RANDOM, VIAT, *([ALONE, SINGLE] if paper.variants else [])]
    with track("viewpoints", paper.seeds * (1 + len(boxes) * len(arms))) as task:
        for repetition in context.repetitions(paper.seeds):
            base = train(paper, repetition, BASE, None, photos, [])
            task.advance()
            for region in boxes:
                place = repetition.within("whole") if region == "whole" else repetition
                judge(paper, place, BASE, base, testing, chosen, region)
                for arm in arms:
                    net = train(paper, place, arm, base, photos, [recipe(paper, context, training, arm, region)])
                    judge(paper, place, arm, net, testing, chosen, region)
                    task.advance()


def natural_views(objects: ObjectSet, count: int, seed: int) -> Split:
    """Pictures of each object from viewpoints of usual photos, uint8.

    Raises:
        ParameterError: the objects have no classes.
    """
    if objects.labels is None:
        raise ParameterError(f"data {objects.options.spec!r} has no classes: put objects into a folder a class")
    spread = SampleRng.of(seed, "photos", objects.ids).uniform(count, 6, low=-1, high=1)
    box = NaturalViews().box
    views = spread * torch.tensor(box.a) + torch.tensor(box.b)
    images = torch.cat([as_bytes(objects.images(i, views[i])) for i in range(len(objects))])
    labels = torch.from_numpy(objects.labels).repeat_interleave(count)
    return Split.of(images, labels, classes=len(objects.classes))


def as_bytes(images: Tensor) -> Tensor:
    """Pictures in [0, 1] as uint8."""
    return images.mul(255).round().to(torch.uint8)


def some_of_each(objects: ObjectSet, count: int, seed: int) -> list[int]:
    """Numbers of objects of each class, others for each seed; the first ones for seed 0."""
    labels = np.asarray(objects.labels)
    return [int(i) for k in np.unique(labels) for i in np.roll(np.flatnonzero(labels == k), -count * seed)[:count]]


def train(
    paper: ViewpointPaper, context: Context, name: str, start: Net | None, photos: Split, recipes: list[viat.VIAT]
) -> Net:
    """A fresh network, or one that goes on from another."""
    options: dict[str, Any] = {"batch_size": paper.batch, "optimizer": "adamw", "lr": 2e-3 if start is None else 1e-3}
    plan = plan_training(paper.epochs, context.seed, held_out=1, check_images=2, weight_decay=2e-4, **options)
    arch = grouped_convs if context.model == SMALL else context.model
    return context.net(name, arch if start is None else start, photos, plan, recipes)


def recipe(paper: ViewpointPaper, context: Context, objects: ObjectSet, arm: str, region: str) -> viat.VIAT:
    """Recipe of a network beside its natural views: as many rendered ones in each."""
    return viat.VIAT(
        objects=objects.options.spec,
        fingerprint=objects.fingerprint,
        views={NATURAL: "natural", RANDOM: "random"}.get(arm, "adversarial"),
        batch_size=max(1, paper.batch // 2),
        sharing=0.0 if arm == ALONE else 0.5,
        components=1 if arm == SINGLE else paper.components,
        pairs=15,
        steps=8,
        warm_steps=6,
        lr=paper.rate,
        region=region,
    )


def judge(
    paper: ViewpointPaper, context: Context, name: str, net: Net, objects: ObjectSet, chosen: list[int], region: str
) -> None:
    """Views of unseen objects: natural, random, and of fresh attacks."""
    search = {"pairs": paper.pairs, "steps": paper.iterations, "lr": paper.rate, "samples": paper.samples}
    attacks: list[ViewAttack] = [
        NaturalViews(samples=paper.samples),
        RandomViews(samples=paper.samples, region=region),
        GMVFool(components=paper.components, region=region, **search),
    ]
    if paper.every_attack or name in (BASE, VIAT):
        attacks.append(ViewFool(region=region, **search))
    front = torch.cat([objects.images(i, torch.tensor([FRONT])) for i in chosen])
    labels = torch.tensor([int(np.asarray(objects.labels)[i]) for i in chosen])
    ids = tuple(objects.ids[i] for i in chosen)
    place = dict(zip(ids, chosen, strict=True))
    for attack in attacks:
        context.evaluate(
            f"{name}.{attack.info.name}", attack, net.model, Batch(front, labels, ids),
            render=lambda i, views: objects.images(place[i], views),
        )  # fmt: skip
