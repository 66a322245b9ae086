"""Ensembles of three tiny networks, trained on in four ways, and what is measured of each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product

import numpy as np
import torch

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.harden.defences.crossmax import CrossMax
from unshaken.harden.engine.ensemble import members_of
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.ensembles.dverge import Dverge, diversity_matrix
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training, together
from unshaken.papers.outcomes import Examples
from unshaken_papers.dverge import ARMS, CARRIED, COUNT, DIRECT, LARGER, TINY, DvergePaper, Learn

tiny = partial(ConvBlocks, widths=(8, 16, 16, 32), strides=(1, 2, 1, 2))
"""8,610 parameters for one channel and ten classes."""


def run(paper: DvergePaper, context: Context) -> None:
    """Train and measure every arm of every seed."""
    arms: dict[str, tuple[int, Learn]] = {
        **{arm: (COUNT, learn) for arm, learn in ARMS.items()},
        **{arm: (members, "others") for arm, members in LARGER.items()},
    }
    for part in context.repetitions(paper.seeds):
        seed, rng = part.seed, np.random.Generator(np.random.Philox(key=[part.seed, 0x64766572]))
        data = context.datasets.read("train").drawn(paper.images, rng)
        test = context.datasets.read("test").drawn(paper.photos, rng).batch()
        with track(f"DVERGE, seed {seed}", len(arms) + 1) as task:
            surrogate = baseline(part, paper, data, seed, COUNT, first=max(LARGER.values()))
            search = PGD(steps=paper.steps, rel_stepsize=0.2)
            carried = {e: part.search(surrogate.model, search, test, norm="linf", eps=e, seed=seed) for e in CARRIED}
            task.advance()
            for arm, (members, learn) in arms.items():
                start = baseline(part, paper, data, seed, members)
                recipes = [CropFlip(pad=0), Dverge(eps=0.15, steps=5, rel_stepsize=0.2, learn=learn)]
                net = part.net(arm, start, data, _training(paper.epochs, 0.02, seed), recipes)
                measure(part.within(arm), paper, net, test, carried)
                task.advance()


def baseline(context: Context, paper: DvergePaper, data: Split, seed: int, count: int, first: int = 0) -> Net:
    """Networks trained each by itself; another `first` gives others: surrogates are never those of an arm."""
    arch = tiny if context.model == TINY else context.model
    members = []
    for i in range(first, first + count):
        training = _training(paper.baseline, 0.05, 1000 * seed + i)
        members.append(context.net(f"baseline-{i}", arch, data, training, [CropFlip(pad=0)]))
    return together(members)


def _training(epochs: int, rate: float, seed: int) -> Training:
    return plan_training(epochs, seed, lr=rate, schedule="linear", held_out=100, check_images=10)


def measure(context: Context, paper: DvergePaper, net: Net, images: Batch, carried: Mapping[float, Examples]) -> None:
    """Write the rows of one arm of one seed.

    Args:
        context: with seed and arm as its prefix.
        paper: the sizes.
        net: the arm's ensemble.
        images: all of them for clean accuracy and the surrogates' examples, the first ones attacked.
        carried: radius to the surrogates' examples.
    """
    model, some = net.model, images[slice(0, paper.attacked)]
    members = members_of(model)
    context.predict("clean", model, images)
    for i, member in enumerate(members):
        context.predict(f"member-{i}", member, images)
    for eps, examples in carried.items():
        context.predict(f"black-box-{eps:g}", model, images, examples=examples)
    averaged = CrossMax(class_max=False, predictor_max=False, aggregate="mean").wrap(model)
    for eps, (way, target) in product(DIRECT, (("probabilities", model), ("logits", averaged))):
        label = f"white-box-{way}-{eps:g}"
        search = PGD(steps=paper.steps, rel_stepsize=0.2)
        context.attack(label, model, search, some, norm="linf", eps=eps, seed=0, source=target)
    for eps in CARRIED:
        transfer(context, paper, net, some, eps)
    diversity(context, net, some)


def transfer(context: Context, paper: DvergePaper, net: Net, some: Batch, eps: float) -> None:
    """Attack each member, and show what was found to all, over images that all members classify correctly."""
    members = members_of(net.model)
    last = len(members) - 1
    if context.has(f"member-{last}-to-{last}-{eps:g}"):
        return
    with evaluating(net.model):
        answers = [Oracle(m).exact(some.images).argmax(1) for m in members]
    right = some[torch.stack([a == required(some.labels) for a in answers]).all(0)]
    search = PGD(steps=max(1, 2 * paper.steps // 5), rel_stepsize=0.2)
    for i, source in enumerate(members):
        found = context.search(source, search, right, norm="linf", eps=eps, seed=0)
        for j, judge in enumerate(members):
            context.predict(f"member-{i}-to-{j}-{eps:g}", judge, right, examples=found)


def diversity(context: Context, net: Net, some: Batch) -> None:
    """Write the loss of each member on images distilled from each."""
    if context.has("d", "diversity"):
        return
    matrix = diversity_matrix(net.model, some, eps=0.15, steps=5, rel_stepsize=0.2).tolist()
    pairs = product(range(len(matrix)), repeat=2)
    rows = [{"id": f"{i}-{j}", "source": i, "judge": j, "loss": matrix[i][j]} for i, j in pairs]
    context.write("diversity", "d", rows)
