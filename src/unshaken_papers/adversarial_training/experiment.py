"""The arms of the experiment with training recipes: networks trained as published, and how they fail."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.registry import find_method
from unshaken.harden.engine.training import Training
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.run.plan import THE_15
from unshaken_papers.adversarial_training import EPS, FAR_CHECKED, LONG_CHECKED, MIXED, ORDER, AdversarialTrainingPaper

SEARCH = f"eps={EPS},steps=5,rel_stepsize=0.3"


def run(paper: AdversarialTrainingPaper, context: Context) -> None:
    """Part (a), and with the paper's own data the other three.

    Raises:
        ParameterError: a model is given; the recipes train their own.
    """
    context.refuse_model(paper.model, "leave --model out")
    for repetition in context.repetitions(paper.seeds):
        ordering(paper, repetition)
        if context.data == paper.data:
            far(paper, repetition)
            long(paper, repetition)
            mixed(paper, repetition)


def ordering(paper: AdversarialTrainingPaper, context: Context) -> None:
    """(a) Four trainings under AutoAttack."""
    recipes: dict[str, list[str]] = {
        "standard": [],
        "fgsm-rs": [f"fgsm-rs:eps={EPS}"],
        "at": [f"at:{SEARCH}"],
        "trades": [f"trades:{SEARCH},beta=6"],
    }
    train, test = (part(context, s, n) for s, n in (("train", paper.images), ("test", paper.tested)))
    options = {"epochs": paper.epochs, "lr": paper.lr, "check_every": paper.epochs, "select": "last"}
    for name in ORDER:
        model = trained(context, name, train, recipes[name], options)
        context.predict(f"clean.{name}", model, test.batch())
        attacked = test.first(paper.attacked).batch()
        context.evaluate(f"aa.{name}", AutoAttack(mode="fast"), model, attacked, eps=[EPS], norm="linf")


def far(paper: AdversarialTrainingPaper, context: Context) -> None:
    """(b) Single steps from the clean image and from noise, far out."""
    train = part(context, "train", paper.far_images, "fashion-mnist")
    options = {
        "epochs": paper.far_epochs, "lr": paper.far_lr, "held_out": 300,
        "check_images": 2 * FAR_CHECKED, "check_steps": 10,
    }  # fmt: skip
    trained(context, "far-fgsm", train, [f"fgsm-rs:eps={paper.far_eps},rel_stepsize=1.25,random_start=false"], options)
    trained(context, "far-n-fgsm", train, [f"n-fgsm:eps={paper.far_eps}"], options)


def long(paper: AdversarialTrainingPaper, context: Context) -> None:
    """(c) Long trainings on few images."""
    train = part(context, "train", paper.long_images, "cifar10")
    options = {
        "epochs": paper.long_epochs, "lr": paper.long_lr, "schedule": "step", "held_out": LONG_CHECKED,
        "check_images": LONG_CHECKED, "check_steps": 5, "check_every": 3,
    }  # fmt: skip
    at = f"at:eps={8 / 255},steps=3,rel_stepsize=0.5"
    for name, remedy in {"at": [], "awp": ["awp:gamma=0.01"], "ema": ["ema:decay=0.995"]}.items():
        trained(context, f"long-{name}", train, [at, *remedy], options)


def mixed(paper: AdversarialTrainingPaper, context: Context) -> None:
    """(d) Augmentations under the fifteen corruptions at five severities."""
    train = part(context, "train", paper.mixed_images, "cifar10")
    test = part(context, "test", paper.tested, "cifar10").batch()
    options = {"epochs": paper.mixed_epochs, "lr": paper.mixed_lr, "check_every": paper.mixed_epochs, "select": "last"}
    for name in MIXED:
        model = trained(context, name, train, ["crop-flip:pad=4", *([name] if name != "crop-flip" else [])], options)
        context.predict(f"clean.{name}", model, test)
        corrupted(context, name, model, test)


def corrupted(context: Context, arm: str, model: Classifier, batch: Batch) -> None:
    """Outcomes under every corruption and severity."""
    for name, severity in itertools.product(THE_15, range(1, 6)):
        label = f"{arm}.{name}-{severity}"
        if not context.has(label):
            shown = find_method(name).cls().apply(batch, severity, context.seed)
            context.predict(label, model, shown, method=name, severity=severity)


def part(context: Context, split: str, n: int, spec: str | None = None) -> Split:
    """A stratified part of a split, its samples named by their places."""
    found = context.datasets.stratified(split, n, context.seed, spec)
    return Split.of(found.images, found.labels, classes=found.classes)


def trained(context: Context, name: str, data: Split, recipes: Sequence[str], options: Mapping[str, Any]) -> Classifier:
    """The trained network, and the rows of its epochs, which are counted from 1."""
    net = context.net(name, context.model, data, Training(seed=context.seed, **options), recipes)
    if not context.has(f"train.{name}", "training"):
        rows = [(int(c["epoch"]) + 1, k, v) for c in net.curves for k, v in c.items() if k != "epoch"]
        rows += [(len(net.curves), f"flag:{flag}", 1.0) for flag in net.flags]
        columns = [{"epoch": epoch, "name": figure, "value": value} for epoch, figure, value in rows]
        context.write("training", f"train.{name}", columns)
    return net.model
