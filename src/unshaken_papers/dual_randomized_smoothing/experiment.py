"""One network for whole images and one for each half, and their votes under noise."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import torch
from torch import Tensor

from unshaken.certify.smoothing.halves import Side, halves
from unshaken.certify.smoothing.votes import Tally, vote
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.augmentation.gaussian_augmented import GaussianAugmented, with_noise
from unshaken.harden.recipes.augmentation.half_noise import HalfNoise, noisy_half
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.dual_randomized_smoothing import NETS, POLLS, DualRandomizedSmoothingPaper
from unshaken_papers.dual_randomized_smoothing.polls import EXPANSION, SPLIT, Polls

RATE = 3e-3
LIMIT = 1024


def run(paper: DualRandomizedSmoothingPaper, context: Context) -> None:
    """Three networks a level and seed, and their votes.

    Raises:
        ParameterError: networks are given, but not three, or more than one noise level.
    """
    own = given(context)
    if own is not None and len(paper.sigmas) > 1:
        raise ParameterError(
            "dual-randomized-smoothing: networks are trained for one noise level: name it, as in "
            "dual-randomized-smoothing:sigmas=0.5, the halves' being this over the square root of 2"
        )
    held = context.datasets.read("test") if own is None else context.datasets.read(None, view=own["full"].view)
    train = None if own is not None else context.datasets.stratified("train", paper.train)
    certified = (
        held.stratified(paper.certified, context.seed) if context.own else held.block(paper.certified, context.seed)
    )
    batches = certified.batch(), held.stratified(paper.test, context.seed).batch()
    seeds = list(context.seeds(paper.seeds))[: None if own is None else 1]
    with track("noise levels and seeds", len(paper.sigmas) * len(seeds)) as task:
        for sigma in paper.sigmas:
            polls = Polls(sigma, paper.n, paper.n0, paper.alpha)
            for seed in seeds:
                nets = (
                    own if train is None else {n: trained(context, polls, n, train, paper.epochs, seed) for n in NETS}
                )
                write_votes(context, polls, nets or {}, batches, seed)
                task.advance()


def given(context: Context) -> dict[str, Classifier] | None:
    """The user's own three networks, named as `WHOLE|LEFT|RIGHT`; None where an architecture is named.

    Raises:
        ParameterError: not three networks are named.
    """
    if "|" not in context.model:
        return None
    which = "three, for whole images and for the two halves (or one architecture to be trained)"
    return dict(zip(NETS, context.load_models(3, which, "run:whole|run:left|run:right"), strict=True))


def trained(context: Context, polls: Polls, name: str, data: Split, epochs: int, seed: int) -> Classifier:
    """A network trained with noise on what it will be asked about; weights and order are the same for all three."""
    sigma = polls.sigma if name == "full" else polls.sigma / sqrt(2)
    noise: Recipe = GaussianAugmented(sigma=sigma)
    if name != "full":
        noise = HalfNoise(side="left" if name == "left" else "right", sigma=sigma, split=SPLIT, expansion=EXPANSION)
    training = plan_training(epochs, seed, lr=RATE, optimizer="adamw", held_out=50, check_images=4)
    return context.net(polls.name(seed, name), context.model, data, training, [CropFlip(pad=0), noise]).model


def write_votes(
    context: Context, polls: Polls, nets: Mapping[str, Classifier], batches: tuple[Batch, Batch], seed: int
) -> None:
    """Write the votes of one seed's networks, and their predictions on one noisy copy of more images.

    Args:
        context: of the experiment.
        polls: how the networks are asked.
        nets: by their names.
        batches: what is voted on, and the further images.
        seed: of the noise.
    """
    certified, test = batches
    for poll in POLLS:
        label = polls.name(seed, poll)
        if not context.has(label, "votes"):
            net = nets["full" if poll in ("rs", "more") else poll]
            with evaluating(net):
                found = tally(polls, poll, net, certified, seed)
            columns = {"selected": found.selected, "counts": found.counts, "seconds": found.seconds}
            labels = required(certified.labels)
            context.write("votes", label, {"id": list(certified.ids), "label": labels, **columns})
    for name, net in nets.items():
        shown = test.with_images(noisy(test, name, polls.deviation(name), seed))
        context.predict(polls.name(seed, f"{name}.noise"), net, shown, method="noise")


def tally(polls: Polls, poll: str, net: Classifier, batch: Batch, seed: int) -> Tally:
    """Count the votes of one network."""
    oracle = Oracle(net, limit=LIMIT, search_copy=search_copy(net, batch.images[:2]))
    if poll == "rs":
        return polls.whole.certify(oracle, batch, seed=seed).tally
    if poll == "more":
        return vote(
            oracle, batch.images, batch.ids, sigma=polls.sigma, n0=0, n=polls.whole.n, seed=seed,
            method="smoothing/more",
        )  # fmt: skip
    return polls.dual.votes(oracle, batch, "left" if poll == "left" else "right", seed=seed)


def noisy(batch: Batch, name: str, sigma: float, seed: int) -> Tensor:
    """Images with noise, as a network of this name is given them."""
    rng = SampleRng.of(seed, "dual-randomized-smoothing", batch.ids)
    if name == "full":
        return with_noise(batch.images, sigma, rng)
    side: Side = "left" if name == "left" else "right"
    cut = halves(SPLIT, EXPANSION, *batch.images.shape[2:])
    return noisy_half(batch.images, cut, torch.full((len(batch),), side == "left"), sigma, rng)
