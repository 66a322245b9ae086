"""Networks of some classes, trained by three losses, to which the other classes are added as prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training
from unshaken.tasks.few_shot import PrototypeHead, head_of
from unshaken.tasks.few_shot.extend import embed
from unshaken_papers.hyperspherical import ALL, ARMS, MEANS, NORMALISED, SHOTS, SMALL, HypersphericalPaper
from unshaken_papers.hyperspherical.nets import EmbeddingCNN


@dataclass(frozen=True, slots=True)
class Divided:
    """Training and test images whose classes are numbered anew: those of training first.

    Args:
        training: images of all classes.
        testing: likewise.
        old: number of classes that networks are trained on.
    """

    training: Split
    testing: Split
    old: int

    @property
    def base(self) -> Split:
        """The training images of old classes."""
        part = self.training[self.training.labels < self.old]
        return Split(part.images, part.labels, part.ids, self.old)

    @property
    def names(self) -> tuple[str, ...]:
        """New numbers of all classes."""
        return tuple(str(i) for i in range(self.training.classes))


def run(paper: HypersphericalPaper, context: Context) -> None:
    """Every split, seed and loss."""
    parts = context.datasets.parts(paper.images, paper.test)
    if parts.training.classes < paper.novel + 2:
        raise DataError(
            f"{parts.training.classes} classes are too few to hold out {paper.novel} and train on two: lower novel"
        )
    with track("hyperspherical", paper.splits * paper.seeds * len(ARMS)) as task:
        for repetition in context.repetitions(paper.splits * paper.seeds):
            split = repetition.seed // paper.seeds
            divided = divide(parts.training, parts.testing, paper.novel, split)
            for arm, recipe in ARMS.items():
                arm_of(paper, repetition, arm, recipe.format(scale=paper.scale), divided)
                task.advance()


def divide(training: Split, testing: Split, novel: int, split: int) -> Divided:
    """Choose the new classes of a split, and number all classes anew."""
    order = np.random.default_rng([split, novel]).permutation(training.classes)
    place = torch.from_numpy(np.argsort(order))
    moved = (s.relabelled(place[s.labels]) for s in (training, testing))
    return Divided(next(moved), next(moved), training.classes - novel)


def arm_of(paper: HypersphericalPaper, context: Context, arm: str, recipe: str, data: Divided) -> None:
    """Train a network by one loss, and write how each test image is classified."""
    if context.has(arm, "tests"):
        return
    options = {"lr": 3e-3, "batch_size": 64, "optimizer": "adam", "weight_decay": 0.0, "held_out": 1, "check_images": 2}
    net = context.net(
        arm, EmbeddingCNN if context.model == SMALL else context.model, data.base,
        plan_training(paper.epochs, context.seed, **options), [recipe] if recipe else [],
    )  # fmt: skip
    context.write("training", arm, {"id": ["epoch"], "seconds": [net.seconds / paper.epochs]})
    if arm == NORMALISED:
        context.write("tests", MEANS, tested(paper, context.seed, net, MEANS, data))
    context.write("tests", arm, tested(paper, context.seed, net, arm, data))


def tested(paper: HypersphericalPaper, seed: int, net: Net, arm: str, data: Divided) -> list[dict[str, Any]]:
    """For each number of examples, the share of draws in which each test image is classified correctly.

    Returns:
        Columns for each number, one row an image: `disjoint` (new classes compete, NaN for images of old ones), `joint`
        (all compete) and `before` (old ones alone, NaN for images of new ones) among them.
    """
    labels, asked = data.testing.labels, embed(net.model, data.testing.images, cache=False)
    examples = embed(net.model, data.training.images, cache=False)
    by_class = [examples[data.training.labels == c] for c in range(data.training.classes)]
    names, new = data.names[: data.old], data.names[data.old :]
    old = labels < data.old
    before = (base_head(net, arm, by_class, names).predict(asked) == labels).double().where(old, torch.nan)
    found = []
    for shots in SHOTS:
        rng = np.random.default_rng([seed, shots])
        drawn = []
        for _ in range(1 if shots == ALL else paper.draws):
            head = base_head(net, arm, by_class, names)
            for name, features in zip(new, by_class[data.old :], strict=True):
                head.add_class(name, some(features, shots, rng))
            drawn.append(torch.stack([head.predict(asked, among=new) == labels, head.predict(asked) == labels]))
        disjoint, joint = torch.stack(drawn).double().mean(0)
        columns = {"id": data.testing.ids, "shots": shots, "old": old, "joint": joint}
        found.append({**columns, "disjoint": disjoint.where(~old, torch.nan), "before": before})
    return found


def base_head(net: Net, arm: str, examples: Sequence[Tensor], names: Sequence[str]) -> PrototypeHead:
    """The old classes: trained directions in the arm of the normalised softmax loss, else means of their images.

    Args:
        net: trained by the loss of the arm.
        arm: its name.
        examples: features by class, those of old classes first.
        names: of the old classes.
    """
    if arm == NORMALISED:
        return head_of(net.model)
    head = PrototypeHead(examples[0].shape[1])
    for name, features in zip(names, examples, strict=False):
        head.add_class(name, features)
    return head


def some(features: Tensor, shots: int, rng: np.random.Generator) -> Tensor:
    """Draw `shots` examples at random, or all where there are fewer; `ALL` for all."""
    if shots == ALL:
        return features
    return features[torch.from_numpy(rng.permutation(len(features))[:shots])]
