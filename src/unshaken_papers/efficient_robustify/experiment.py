"""A large network, a small robust teacher, three heads, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.augmentation.corruptions import Corruptions
from unshaken.harden.recipes.augmentation.noise import noisy
from unshaken.harden.recipes.losses.three_heads import ThreeHeads, cost, original
from unshaken.harden.recipes.losses.three_heads_net import HEADS, ThreeHeadsNet
from unshaken.harden.surgery.surgery import checksum, interpolate
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Architecture, Net, plan_training, with_weights
from unshaken.stress.corruptions.contrast import contrast
from unshaken.stress.corruptions.gaussian_blur import correlate_along
from unshaken_papers.efficient_robustify import ARMS, CHANGES, EfficientRobustifyPaper

blocks = partial(ConvBlocks, widths=(20, 40, 40, 80, 80), strides=(1, 2, 1, 2, 1))
half = partial(ConvBlocks, widths=(10, 20, 20, 40, 40), strides=(1, 2, 1, 2, 1))
SECTION = "body.3+body.4+head"
"""What has copies: the last two blocks and the classifier."""
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
SHOWN = Corruptions(names="gaussian_noise+gaussian_blur+contrast", preset="tiny")
"""What is trained on: the same families as the test's, by the published strengths for images of 64 pixels."""


def run(paper: EfficientRobustifyPaper, context: Context) -> None:
    """Train, evaluate and write all rows.

    Raises:
        ParameterError: a model is given; the experiment trains its own.
    """
    advice = "for your own there is `unshaken harden --method three-heads:teacher=SPEC --method corruptions`"
    context.refuse_model(paper.model, advice)
    lab = Lab(paper, context)
    if not context.has("read", "costs"):
        lab.run()


class Lab:
    """The experiment.

    Args:
        paper: the sizes.
        context: the data must have the splits train and test.

    Raises:
        DataError: the data is absent or does not fit into memory.
    """

    def __init__(self, paper: EfficientRobustifyPaper, context: Context) -> None:
        self.paper, self.context = paper, context
        train, test = (context.datasets.read(split) for split in ("train", "test"))
        self.statistics = train.statistics()
        order, places = (
            np.random.Generator(np.random.Philox(context.seed + i)).permutation(len(s))
            for i, s in enumerate((train, test))
        )
        self.train = Split.of(train.images, train.labels, classes=train.classes)[order]
        few = Split.of(test.images, test.labels, classes=train.classes)[places[: paper.test]].batch()
        self.shown = {"clean-0": ("clean", few)}
        for kind, strengths in CHANGES.items():
            for strength in strengths:
                self.shown[f"{kind}-{strength:g}"] = kind, changed(few, kind, strength, context.seed)
        self.values: dict[str, float] = {}

    def run(self) -> None:
        """Train and evaluate everything; the costs come last, so that they say that all is there."""
        paper, robust = self.paper, [SHOWN.model_copy(update={"clean": 0.25})]
        with track("three heads", (3 + len(ARMS)) * paper.seeds) as task:
            for number, seed in enumerate(self.context.seeds(paper.seeds)):
                large = self.net(f"large{number}", blocks, paper.train, [], paper.epochs, seed)
                epochs = paper.teacher_epochs
                teacher = self.net(f"teacher{number}", half, paper.teacher_train, robust, epochs, 1000 + seed)
                for name, net in (("original", large), ("teacher", teacher)):
                    self.evaluate(f"{name}{number}.model", net.model)
                    task.advance()
                for arm in ARMS:
                    self.tuned(f"{arm}{number}", large, teacher, 1.0 if arm == "three" else 0.0, seed)
                    task.advance()
                self.full(number, large, seed)
                task.advance()
        self.context.write("costs", "read", {"id": list(self.values), "value": list(self.values.values())})

    def tuned(self, name: str, large: Net, teacher: Net, weight: float, seed: int) -> None:
        """Train and evaluate three heads; `weight` is that of the teacher."""
        recipe = ThreeHeads(section=SECTION, weight=weight).taught_by(teacher.model)
        paper = self.paper
        net = self.net(name, large, paper.train, [recipe, SHOWN], paper.tuning_epochs, seed, tuning=True)
        three = net.model.net
        if not isinstance(three, ThreeHeadsNet):
            raise TypeError(f"{name} is no network with three heads")
        for head in HEADS:
            three.mode = head  # type: ignore[assignment]
            self.evaluate(f"{name}.{head}", net.model)
        same = checksum(original(net.model).net.state_dict()) == checksum(large.model.net.state_dict())
        report = cost(net.model, self.shown["clean-0"][1].images[:1])
        self.values |= {
            f"{name}.original_recovered": float(same),
            "tunable_share": report.share,
            "flops.original": float(report.flops_original),
            "flops.three_heads": float(report.flops_three),
        }

    def full(self, number: int, large: Net, seed: int) -> None:
        """Tune all weights on half clean, half changed images, as many views as three heads saw; and WiSE-FT."""
        recipes = [SHOWN.model_copy(update={"clean": 0.5})]
        epochs = 2 * self.paper.tuning_epochs
        full = self.net(f"full{number}", large, self.paper.train, recipes, epochs, seed, tuning=True)
        self.evaluate(f"full{number}.model", full.model)
        middle = interpolate(large.model.net.state_dict(), full.model.net.state_dict(), 0.5)
        self.evaluate(f"wise{number}.model", with_weights(full.model, middle))

    def net(
        self, name: str, start: Architecture | Net, count: int, recipes: Sequence[Recipe], epochs: int, seed: int, *,
        tuning: bool = False,
    ) -> Net:  # fmt: skip
        """A trained network; the seconds that it took enter the costs."""
        options = {"lr": 1e-3, "optimizer": "adamw"} if tuning else {"lr": 0.1}
        training = plan_training(epochs, seed, held_out=1, check_images=1, **options)
        net = self.context.net(name, start, self.train.first(count), training, recipes, statistics=self.statistics)
        self.values[f"{name}.seconds"] = net.seconds
        return net

    def evaluate(self, label: str, model: Classifier) -> None:
        """Write predictions on clean and changed test images."""
        for condition, (kind, batch) in self.shown.items():
            self.context.predict(f"{label}.on-{condition}", model, batch, method=kind)


def changed(batch: Batch, kind: str, strength: float, seed: int) -> Batch:
    """Test images under one change, with randomness that no training saw.

    Args:
        batch: the images.
        kind: a key of `CHANGES`.
        strength: see `CHANGES`.
        seed: of the noise.
    """
    images = batch.images
    if kind == "noise":
        rng = SampleRng.of(seed, f"three-heads/{strength}", batch.ids)
        return batch.with_images(noisy(images, torch.full((len(batch),), strength), rng))
    if kind == "contrast":
        return batch.with_images(contrast(images, strength).clamp(0, 1))
    for _ in range(int(strength)):
        images = correlate_along(correlate_along(images, BINOMIAL, 2), BINOMIAL, 3)
    return batch.with_images(images.clamp(0, 1))
