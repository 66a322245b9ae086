"""Perceptrons whose images are verified by a solver, searched and attacked."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from unshaken.attack.engine.base import Attack
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.jsma import JSMA
from unshaken.certify.smt.smt import SMT, Bisection, PixelPGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.imports import need
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.models.networks.convolutions import perceptron
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.smt_verification import (
    DEEP_EPS,
    DEEP_PIXELS,
    DEPTHS,
    EPS,
    FGSM_EPS,
    MODEL,
    PIXELS,
    SEARCHES,
    SMTVerificationPaper,
    nets,
)

DIGITS_TRAIN, TEST = 1400, 400
GRID = 60_000
"""Points of a grid at most: 3^10 = 59,049 are searched, 2^20 are not."""
COUNT_EPS = 0.5
COUNT_SECONDS = 4.0
"""Limit of the solver on one number of pixels, where the largest is looked for that is proved safe."""
MANY = 10
"""Free pixels up to which the full time limit is given."""


def run(paper: SMTVerificationPaper, context: Context) -> None:
    """Verify a plain network of each data set and seed, and count its pixels beside those of a hardened one."""
    if context.model != MODEL:
        verify_given(paper, context)
        return
    train, test = (context.datasets.stratified(s, n) for s, n in (("train", paper.train), ("test", TEST)))
    sets = {
        "digits": (*digits().cut(DIGITS_TRAIN, context.seed), nets.DIGITS),
        own_name(context.data): (train, test, nets.OTHERS),
    }
    with track("verification", len(sets) * paper.seeds) as task:
        for name, (train, test, options) in sets.items():
            for seed in context.seeds(paper.seeds):
                part, batch = context.within(f"s{seed}.{name}"), test.batch()
                models = {net: trained(part, net, train, seed, dict(options)) for net in ("plain", "at")}
                shown = chosen(part, models, batch, paper.images, seed)
                decide(paper, part.within("plain"), models["plain"], shown, seed)
                attack(part.within("plain"), models["plain"], shown, seed)
                deep = trained(part, "deep", train, seed, dict(options))
                layer_by_layer(
                    paper, part.within("deep"), deep, chosen(part, {"deep": deep}, batch, paper.images, seed)
                )
                for net, model in models.items():
                    count(paper, part.within(net), model, shown)
                task.advance()


def verify_given(paper: SMTVerificationPaper, context: Context) -> None:
    """The first part for a model of the user's own."""
    model = context.load_model(context.model)
    batch = context.datasets.stratified("test", TEST, view=model.view).batch()
    shown = chosen(context, {"own": model}, batch, paper.images, context.seed)
    decide(paper, context.within("own"), model, shown, context.seed)


def digits() -> Split:
    """The 1,797 digits that scikit-learn ships, 8 x 8 pixels of 17 grey levels.

    Raises:
        MissingExtra: scikit-learn is absent.
    """
    datasets: Any = need("sklearn.datasets", "scikit-learn", "smt", "the data set 'digits'")
    found = datasets.load_digits()
    images = (torch.tensor(found.images)[:, None] * 255 / 16).round().to(torch.uint8)
    return Split(images, torch.tensor(found.target).long(), tuple(f"digit-{i}" for i in range(len(images))), 10)


def own_name(spec: str) -> str:
    """Name of a data set in figures.

    >>> own_name("folder:/some/where/halves.parquet?size=8")
    'halves'
    """
    return spec.partition("?")[0].rpartition("/")[2].rpartition(":")[2].partition(".")[0]


def trained(context: Context, net: str, data: Split, seed: int, options: dict[str, Any]) -> Classifier:
    """A network of a seed: `plain`, `at` for adversarial training, or `deep` with two hidden layers."""
    width, eps = int(options.pop("width")), options.pop("eps")
    hidden = (width, width) if net == "deep" else (width,)
    training = plan_training(seed=seed, optimizer="adam", weight_decay=0.0, held_out=10, check_images=2, **options)
    recipes = [AdversarialTraining(eps=eps, steps=5)] if net == "at" else []
    build = partial(perceptron, dims=data.images[0].numel(), hidden=hidden)
    return context.net(net, build, data, training, recipes, statistics="none").model


def chosen(context: Context, models: dict[str, Classifier], batch: Batch, count: int, seed: int) -> Batch:
    """Images, drawn by seed, that all models classify correctly.

    Raises:
        DataError: there is none.
    """
    for name, model in models.items():
        context.predict(f"{name}.clean", model, batch)
    rows = context.rows()
    correct = [rows.table("outcomes", f"{name}.clean")["correct"].to_numpy(zero_copy_only=False) for name in models]
    right = torch.from_numpy(np.logical_and.reduce(correct))
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
    indices = order[right[order]][:count]
    if not len(indices):
        raise DataError("no image that is verified is classified correctly")
    return batch[indices]


def decide(paper: SMTVerificationPaper, context: Context, model: Classifier, batch: Batch, seed: int) -> None:
    """Exact verification, corners, a grid and PGD on the same pixels, for each number of pixels and each eps."""
    for pixels in PIXELS:
        limit = paper.seconds if pixels <= MANY else paper.seconds_many
        methods: dict[str, Any] = {"exact": SMT(pixels=pixels, seconds=limit)}
        methods |= {m: SMT(pixels=pixels, mode=m, max_points=GRID) for m in SEARCHES}
        methods["pgd"] = PixelPGD(steps=40, restarts=5, pixels=pixels)
        for way, method in methods.items():
            context.evaluate(f"{way}-{pixels}", method, model, batch, eps=EPS, norm="linf", seed=seed)


def layer_by_layer(paper: SMTVerificationPaper, context: Context, model: Classifier, batch: Batch) -> None:
    """Exact verification of a deep network, and searches at the input and at each of its hidden layers in turn."""
    limit = paper.seconds
    methods: dict[str, Any] = {"exact": SMT(pixels=DEEP_PIXELS, seconds=limit)}
    methods["layer-0"] = SMT(pixels=DEEP_PIXELS, mode="grid", max_points=GRID)
    for depth in DEPTHS:
        search = SMT(pixels=DEEP_PIXELS, mode="layer", layer=depth, units=1, steps=paper.layer_steps, seconds=limit)
        methods[f"layer-{depth}"] = search
    for way, method in methods.items():
        context.evaluate(way, method, model, batch, eps=DEEP_EPS, norm="linf")


def attack(context: Context, model: Classifier, batch: Batch, seed: int) -> None:
    """Write success and distances of FGSM at several radii, and of JSMA, which may change all pixels."""
    attacks: dict[str, tuple[Attack[Any], float]] = {f"fgsm-{eps:g}": (FGSM(), eps) for eps in FGSM_EPS}
    for label, (method, eps) in (attacks | {"jsma": (JSMA(), 1.0)}).items():
        if context.has(label, "distances"):
            continue
        found = context.search(model, method, batch, norm="linf", eps=eps, seed=seed, early=True).images
        change = (found.double() - batch.images.double()).flatten(1)
        with evaluating(model), torch.no_grad():
            fooled = model(found).argmax(1) != batch.labels
        columns = {"changed": (change != 0).double().mean(1), "l1": change.abs().sum(1), "l2": change.norm(dim=1)}
        context.write("distances", label, {"id": list(batch.ids), "fooled": fooled, **columns})


def count(paper: SMTVerificationPaper, context: Context, model: Classifier, batch: Batch) -> None:
    """Write the most free pixels at which each image is proved safe."""
    if context.has("verified", "verified_pixels"):
        return
    most, limit = min(paper.most, batch.images[0].numel()), min(paper.seconds_many, COUNT_SECONDS)
    with evaluating(model):
        search = Bisection(Oracle(model, limit=1024), most, limit, COUNT_EPS)
        labels = model(batch.images).argmax(1).tolist()
        found = [search.largest(image, label) for image, label in zip(batch.images, labels, strict=True)]
    pixels, calls, seconds = map(list, zip(*found, strict=True))
    columns = {"id": list(batch.ids), "pixels": pixels, "calls": calls, "seconds": seconds}
    context.write("verified_pixels", "verified", {**columns, "eps": COUNT_EPS, "most": most})
