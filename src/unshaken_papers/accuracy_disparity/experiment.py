"""Two classes, one of them rare: linear models, small perceptrons with remedies, or two models of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.progress import track
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.losses.balanced_sampling import imbalanced
from unshaken.harden.recipes.losses.class_balanced import ClassBalanced
from unshaken.harden.recipes.losses.worst_class import WorstClass
from unshaken.models.networks.convolutions import perceptron
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.accuracy_disparity import BUDGETS, FEWER, REMEDIES, AccuracyDisparityPaper
from unshaken_papers.accuracy_disparity.linear import cauchy, gaussian, images

WIDTH = 200
CAT, SHIP = 3, 8
"""Of CIFAR-10: the classes of the networks."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two classes of a data set, label 1 for the minority.

    Args:
        train: to learn from.
        test: balanced, as the data set has them.
        name: of the classes.
    """

    train: Split
    test: Split
    name: str


def run(paper: AccuracyDisparityPaper, context: Context) -> None:
    """Fit and evaluate the models of all seeds; or evaluate two models of the user's own."""
    if context.model != paper.model:
        own_pair(paper, context)
        return
    pairs = {"photos": read_pair(context, paper.majority, paper.minority)}
    if paper.net_seeds:
        pairs["nets"] = net_pair(paper, context)
    for part, pair in pairs.items():
        if not context.has(part, "classes"):
            context.write("classes", part, {"id": [part], "name": [pair.name]})
    seeds, net_seeds = context.seeds(paper.seeds), context.seeds(paper.net_seeds)
    with track("models", len(seeds) + len(net_seeds)) as task:
        for seed in seeds:
            own = context.within(f"s{seed}")
            gaussian(own, paper.samples, seed)
            cauchy(own, paper.samples, seed)
            images(own, pairs["photos"].train, pairs["photos"].test, paper.largest, seed)
            task.advance()
        for seed in net_seeds:
            networks(paper, context.within(f"s{seed}"), pairs["nets"], seed)
            task.advance()


def read_pair(context: Context, majority: int, minority: int, spec: str | None = None) -> Pair:
    """The images of two classes from the splits train and test.

    Raises:
        DataError: the data is absent, or does not fit into memory.
        ParameterError: it has no such classes.
    """
    found = []
    for split in ("train", "test"):
        data = context.datasets.read(split, spec)
        if max(majority, minority) >= data.classes:
            raise ParameterError(
                f"data {spec or context.data!r} has {data.classes} classes: majority={majority}, minority={minority} "
                "do not fit"
            )
        two = data[(data.labels == majority) | (data.labels == minority)]
        found.append(Split.of(two.images, (two.labels == minority).long(), classes=2))
    names = data.names or [f"class{i}" for i in range(data.classes)]
    name = f"{names[majority]} (majority) and {names[minority]}"
    return Pair(found[0], found[1], name if data.names else f"classes {majority} (majority) and {minority}")


def net_pair(paper: AccuracyDisparityPaper, context: Context) -> Pair:
    """Ship and cat of CIFAR-10, or the user's own classes.

    Raises:
        DataError: CIFAR-10 is absent; the message tells how to leave the networks out.
    """
    if context.data != paper.data:
        return read_pair(context, paper.majority, paper.minority)
    try:
        return read_pair(context, SHIP, CAT, "cifar10")
    except DataError as error:
        raise DataError(f"{error}; or leave the networks out: accuracy-disparity:net_seeds=0") from error


def networks(paper: AccuracyDisparityPaper, context: Context, pair: Pair, seed: int) -> None:
    """Train and evaluate perceptrons at all ratios and radii, and with the remedies at the largest of both."""
    build = partial(perceptron, dims=pair.train.images[0].numel(), hidden=(WIDTH,))
    training = plan_training(
        paper.epochs, seed, batch_size=128, lr=0.02, weight_decay=0, held_out=1, check_images=2, channels_last=False,
        save_every=10**9,
    )  # fmt: skip
    for ratio in FEWER:
        rows = imbalanced(pair.train.labels.numpy(), ratio=ratio, classes=(0, 1), largest=paper.net_largest, seed=seed)
        for budget in BUDGETS:
            last = ratio == max(FEWER) and budget == max(BUDGETS)
            for remedy in ("", *REMEDIES) if last else ("",):
                label = f"nets-{ratio}-{budget}{remedy and f'.{remedy}'}"
                recipes = [*remedies(remedy), *adversarial(budget)]
                statistics = pair.train.statistics()
                net = context.net(label, build, pair.train[rows], training, recipes, statistics=statistics)
                evaluate(context, label, net.model, pair.test, budget / 255)


def remedies(name: str) -> list[Recipe]:
    """The recipe of a remedy; none for an empty name."""
    known = {"class-balanced": ClassBalanced(), "worst-class": WorstClass(eta=0.5)}
    return [known[name]] if name else []


def adversarial(budget: int) -> Sequence[Recipe]:
    """Adversarial training at a radius in 255ths; none for 0."""
    return [AdversarialTraining(eps=budget / 255, steps=10, rel_stepsize=0.25)] if budget else []


def evaluate(context: Context, label: str, model: Classifier, data: Split, eps: float) -> None:
    """Write the predictions of a model on clean images, and under PGD where there is a radius, linf."""
    batch = data.batch()
    context.predict(f"{label}.clean", model, batch)
    if eps:
        context.evaluate(f"{label}.pgd", PGD(steps=20, rel_stepsize=0.125), model, batch, eps=[eps], norm="linf")


def own_pair(paper: AccuracyDisparityPaper, context: Context) -> None:
    """Evaluate `STANDARD|ROBUST` on all classes.

    Raises:
        ParameterError: not two models are named.
        DataError: there are no labelled images.
    """
    models = context.load_models(2, "a standard and a robust model", "run:A|run:B")
    for name, model in zip(("standard", "robust"), models, strict=True):
        data = context.datasets.stratified(None, paper.limit, context.seed, view=model.view)
        evaluate(context, name, model, data, paper.eps)
