"""Wrong labels of people and synthetic ones: what rankings find, and what trainings make of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.data.label_noise import drawn_labels
from unshaken.harden.engine.cross_validation import logits_of
from unshaken.labels.engine.finder import Evidence
from unshaken.labels.engine.out_of_sample import stratified_folds
from unshaken.labels.engine.probabilities import Probabilities
from unshaken.labels.find.confidence_weighted_entropy import ConfidenceWeightedEntropy
from unshaken.labels.find.normalized_margin import NormalizedMargin
from unshaken.labels.find.self_confidence import SelfConfidence
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts, Split
from unshaken.papers.label_curves import label_curves, training_rows, write_curves
from unshaken.papers.networks import Architecture, Net, plan_training
from unshaken_papers.label_noise_suite import (
    HUMAN,
    INSIDE,
    MATCHED,
    OUTSIDE,
    PLAIN,
    RECIPES,
    SCORES,
    SMALL,
    LabelNoisePaper,
)

light = partial(ConvBlocks, widths=(16, 32, 64), strides=(1, 2, 1))
"""24,346 parameters for three channels and ten classes."""
memoriser = partial(ConvBlocks, widths=(32, 64, 128, 128), strides=(1, 2, 2, 1))
"""242,474 parameters: it memorises labels in all of its layers, and loses by it what it had learned before."""
FINDERS = dict(zip(SCORES, (SelfConfidence(), NormalizedMargin(), ConfidenceWeightedEntropy()), strict=True))


def run(paper: LabelNoisePaper, context: Context) -> None:
    """Find and train, in every seed."""
    examined = context.datasets.parts(paper.photos + paper.further, paper.test, paper.choosing)
    human = people(context, paper.human, examined.training)
    parts = replace(examined, training=examined.training.stratified(paper.photos, context.seed))
    by_id = dict(zip(examined.training.ids, human, strict=True))
    learned = torch.stack([by_id[name] for name in parts.training.ids])
    searches = (HUMAN, MATCHED, OUTSIDE) if paper.further else (HUMAN, MATCHED)
    with track("label noise", paper.seeds * (len(searches) + len((PLAIN, *paper.arms)))) as task:
        for repetition in context.repetitions(paper.seeds):
            synthetic = matched(examined.training, human, repetition.seed)
            sets = {HUMAN: (examined.training, human), MATCHED: (examined.training, synthetic)}
            sets[OUTSIDE] = (parts.training, learned)
            estimates = dict[str, float]()
            for name in searches:
                estimates[name] = find(paper, repetition, name, *sets[name])
                task.advance()
            for arm in (PLAIN, *paper.arms):
                learn(paper, repetition, arm, parts, learned, estimates[HUMAN])
                task.advance()


def people(context: Context, spec: str, images: Split) -> Tensor:
    """People's labels of images, by their ids.

    Raises:
        DataError: the data has no labels, or not these images.
    """
    found = context.datasets.open(None, spec)
    places = {name: i for i, name in enumerate(found.ids)}
    absent = [name for name in images.ids if name not in places]
    if found.labels is None or absent:
        lacking = f"not the image {absent[0]!r}" if absent else "no labels"
        raise DataError(f"data {spec!r} has {lacking}: it needs other labels of the images of {context.data!r}")
    return torch.from_numpy(found.labels)[[places[name] for name in images.ids]]


def matched(true: Split, given: Tensor, seed: int) -> Tensor:
    """Synthetic labels: each class is mistaken for each other as often as in given labels, whatever the image."""
    counts = np.zeros((true.classes, true.classes))
    np.add.at(counts, (true.labels.numpy(), given.numpy()), 1)
    transition: NDArray[np.float64] = counts / counts.sum(1, keepdims=True)
    return torch.from_numpy(drawn_labels(true.labels.numpy(), transition, true.ids, seed))


def find(paper: LabelNoisePaper, context: Context, name: str, true: Split, given: Tensor) -> float:
    """Write the scores of all labels by networks that did not see them, and give the estimated share of wrong ones."""
    if not context.has(name, "suspicion"):
        noisy = true.relabelled(given)
        fold = stratified_folds(noisy.labels.numpy(), paper.folds, context.seed)
        found = np.empty((len(noisy), noisy.classes))
        training = plan_training(paper.fold_epochs, context.seed, lr=0.1, held_out=1, check_images=2)
        for k in range(paper.folds):
            apart = torch.from_numpy(fold == k)
            net = context.net(f"{name}.fold-{k}", light, noisy[~apart], training)
            found[fold == k] = logits_of(net.model, noisy.images[apart]).double().softmax(1).numpy()
        score(context, name, found, noisy, true.labels)
    return float(context.rows().table("suspicion", name)["estimate"][0].as_py())


def score(context: Context, name: str, probabilities: NDArray[np.float64], noisy: Split, truth: Tensor) -> None:
    """Write how likely each label is right, by every ranking."""
    evidence = Evidence(noisy.labels.numpy(), noisy.classes, Probabilities(probabilities))
    scores = {column: finder.find(evidence).score for column, finder in FINDERS.items()}
    columns = {"id": list(noisy.ids), "given": noisy.labels, "truth": truth, **scores}
    context.write("suspicion", name, {**columns, "estimate": evidence.confident().noise_rate})


def learn(paper: LabelNoisePaper, context: Context, arm: str, parts: Parts, human: Tensor, estimate: float) -> None:
    """Train one network on people's labels, and write what it says of test and training images."""
    noisy, truth = parts.training.relabelled(human), parts.training.labels
    sets = {"choosing": parts.choosing, "test": parts.testing}
    recipes = [] if arm == PLAIN else [RECIPES[arm].format(rate=estimate)]
    training = plan_training(
        paper.epochs, context.seed, batch_size=64, lr=2e-3, optimizer="adam", schedule="constant", weight_decay=0.0,
        held_out=1, check_images=2,
    )  # fmt: skip
    arch: Architecture = memoriser if context.model == SMALL else context.model
    net = context.net(arm, arch, noisy, training, [*recipes, label_curves(truth, **sets)])
    context.predict(f"{arm}.test", net.model, parts.testing.batch())
    training_rows(context, arm, net, noisy, truth)
    write_curves(context, arm, net, **sets)
    if arm == PLAIN and not context.has(INSIDE, "suspicion"):
        inside(context, net, noisy, truth)


def inside(context: Context, net: Net, noisy: Split, truth: Tensor) -> None:
    """Write the scores of labels by the network that learned from them."""
    score(context, INSIDE, logits_of(net.model, noisy.images).double().softmax(1).numpy(), noisy, truth)
