"""The linear model of several draws, and a network trained on wrong labels in several ways."""

from __future__ import annotations

import torch

from unshaken.core.progress import track
from unshaken.data.label_noise import drawn_labels, symmetric
from unshaken.harden.recipes.noisy_labels.elr import ELR
from unshaken.models.networks.convolutions import HiddenConvs
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts
from unshaken.papers.label_curves import label_curves, training_rows, write_curves
from unshaken.papers.networks import plan_training
from unshaken_papers.early_learning_regularization import CURVE, PLAIN, REGULARISED, SMALL, EarlyLearningPaper
from unshaken_papers.early_learning_regularization.linear import descend


def run(paper: EarlyLearningPaper, context: Context) -> None:
    """Both halves; data is read first, so that absent data costs no time."""
    parts = context.datasets.parts(paper.photos, paper.test, paper.choosing)
    with track("the linear model", 2 * paper.draws) as task:
        for i in range(paper.draws):
            seed = paper.draws * context.seed + i
            for arm, strength in ((PLAIN, 0.0), (REGULARISED, paper.strength)):
                linear(context.within(f"linear{i}"), arm, seed, strength, paper.betas[0])
                task.advance()
    with track("early learning", paper.seeds * (1 + len(paper.betas))) as task:
        for repetition in context.repetitions(paper.seeds):
            for arm in (PLAIN, *arms(paper)):
                images(paper, repetition, arm, parts)
                task.advance()


def arms(paper: EarlyLearningPaper) -> dict[str, ELR]:
    """Name to recipe of the trainings with ELR: the first is `elr`, others have their beta in their name."""
    names = [REGULARISED, *(f"{REGULARISED}-{beta:g}" for beta in paper.betas[1:])]
    return {n: ELR(strength=paper.strength, beta=b) for n, b in zip(names, paper.betas, strict=True)}


def linear(context: Context, arm: str, seed: int, strength: float, beta: float) -> None:
    """Write the rows of one descent."""
    if context.has(arm, "linear"):
        return
    records = zip(CURVE, descend(seed, CURVE, strength, beta), strict=True)
    context.write("linear", arm, [{**record, "id": str(step), "step": step} for step, record in records])


def images(paper: EarlyLearningPaper, context: Context, arm: str, parts: Parts) -> None:
    """Train one network on wrong labels, and write its curves, its test predictions and those of training images."""
    true, sets = parts.training, {"choosing": parts.choosing, "test": parts.testing}
    transition = symmetric(paper.rate, [str(k) for k in range(true.classes)])
    labels = drawn_labels(true.labels.numpy(), transition, true.ids, context.seed)
    noisy = true.relabelled(torch.from_numpy(labels))
    options = {"lr": 0.02, "weight_decay": 1e-3, "schedule": "cosine", "held_out": 1, "check_images": 2}
    recipes = [arms(paper)[arm]] if arm != PLAIN else []
    net = context.net(
        arm, HiddenConvs if context.model == SMALL else context.model, noisy,
        plan_training(paper.epochs, context.seed, **options), [*recipes, label_curves(true.labels, **sets)],
    )  # fmt: skip
    context.predict(f"{arm}.test", net.model, parts.testing.batch())
    training_rows(context, arm, net, noisy, true.labels)
    write_curves(context, arm, net, **sets)
