"""Adversarial training: unshaken's loop beside a plain one in the style of the official code, and beside ART.

    python benchmarks/training.py --data fashion-mnist?split=train --images 6000
    python benchmarks/training.py --recipes at --tools unshaken,plain,art --steps 7

Each tool trains the same fresh network (`--arch`) for one epoch on the same images with the same steps of PGD
inside (step 2.5 radii over the steps, from a random point; TRADES from a little noise), batches of 128, SGD with
momentum and weight decay, on a CPU. `plain` is the loop of the papers' own code: evaluation mode and `autograd.grad` in
the attack, no memory format, no folding, clean logits of TRADES asked again at every step. ART's trainers have the same
attack and weights; its trainer for TRADES is its own.

How it is measured. Every tool has a process of its own. One epoch on 1,024 images is the warm-up; then the tools take
turns for `--repeats` rounds. Seconds hold the epoch alone: no loading, no check on held-out images. Images a second are
the training images over the median; `speed` is the ratio of medians to the plain loop. Accuracy under PGD-20 of the
network that each tool ends with, on 500 test images, stands beside it: the same work must give the same result.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import evaluating
from unshaken.core.search_copy import search_copy
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fresh
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.adversarial.trades import Trades

BATCH, RATE, BETA = 128, 0.05, 6.0
WARM = 1024


class Work:
    """One tool's part: the same images and the same fresh network."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.set_num_threads(options.threads)
        samples = Samples(load_data(options.data), None, options.classes, limit=options.images)
        assert samples.resident is not None
        self.images, self.labels = samples.resident, samples.labels[torch.from_numpy(samples.good)]
        self.options = options

    def net(self) -> Classifier:
        """A fresh one."""
        return fresh(self.options.arch, self.images, classes=self.options.classes, seed=0)


def ours(work: Work, recipe: str, precision: str, n: int) -> tuple[float, Classifier]:
    """The loop, without its checks."""
    options = work.options
    made = {"at": AdversarialTraining, "trades": Trades}[recipe]
    chosen = made(eps=options.eps, steps=options.steps, rel_stepsize=2.5 / options.steps)
    training = Training(
        epochs=1, lr=RATE, batch_size=BATCH, schedule="constant", inner_precision=precision, held_out=1, select="last"
    )
    loop = Loop(work.net(), Samples.of(work.images[:n], work.labels[:n], options.classes), [chosen], training)
    loop.check = lambda live, kept: {}  # type: ignore[assignment]
    began = time.perf_counter()
    loop.train()
    return time.perf_counter() - began, loop.live


def plain(work: Work, recipe: str, n: int) -> tuple[float, Classifier]:
    """The loop of the papers' own code."""
    options, model = work.options, work.net()
    size = 2.5 * options.eps / options.steps
    images, labels = work.images[:n].float() / 255, work.labels[:n]
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    began = time.perf_counter()
    for chosen in torch.randperm(n)[: n // BATCH * BATCH].split(BATCH):
        x, y = images[chosen], labels[chosen]
        model.eval()
        if recipe == "at":
            point = (x + (2 * torch.rand_like(x) - 1) * options.eps).clamp(0, 1)
        else:
            point = x.detach() + 0.001 * torch.randn_like(x)
        for _ in range(options.steps):
            point.requires_grad_()
            (slope,) = torch.autograd.grad(_inner_loss(recipe, model, x, y, point), [point])
            point = point.detach() + size * slope.sign()
            point = torch.min(torch.max(point, x - options.eps), x + options.eps).clamp(0, 1)
        model.train()
        optimizer.zero_grad()
        if recipe == "at":
            loss = F.cross_entropy(model(point), y)
        else:
            clean = model(x)
            kl = F.kl_div(F.log_softmax(model(point), 1), F.softmax(clean, 1), reduction="batchmean")
            loss = F.cross_entropy(clean, y) + BETA * kl
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began, model


def _inner_loss(recipe: str, model: Classifier, x: Tensor, y: Tensor, point: Tensor) -> Tensor:
    if recipe == "at":
        return F.cross_entropy(model(point), y)
    return F.kl_div(F.log_softmax(model(point), 1), F.softmax(model(x), 1), reduction="sum")


def art(work: Work, recipe: str, n: int) -> tuple[float, Classifier]:
    """ART's trainers."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.defences.trainer import AdversarialTrainerMadryPGD, AdversarialTrainerTRADESPyTorch
    from art.estimators.classification import PyTorchClassifier

    options, model = work.options, work.net()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    wrapped = PyTorchClassifier(
        model, torch.nn.CrossEntropyLoss(), tuple(work.images.shape[1:]), options.classes, optimizer, clip_values=(0, 1)
    )
    images, labels = (work.images[:n].float() / 255).numpy(), work.labels[:n].numpy()
    size = 2.5 * options.eps / options.steps
    if recipe == "at":
        trainer = AdversarialTrainerMadryPGD(
            wrapped, nb_epochs=1, batch_size=BATCH, eps=options.eps, eps_step=size, max_iter=options.steps,
            num_random_init=1,
        )  # fmt: skip
        began = time.perf_counter()
        trainer.fit(images, labels)
    else:
        attack = ProjectedGradientDescent(
            wrapped, eps=options.eps, eps_step=size, max_iter=options.steps, num_random_init=1, batch_size=BATCH,
            verbose=False,
        )  # fmt: skip
        trainer = AdversarialTrainerTRADESPyTorch(wrapped, attack, beta=BETA)
        began = time.perf_counter()
        trainer.fit(images, F.one_hot(work.labels[:n], options.classes).float().numpy(), batch_size=BATCH, nb_epochs=1)
    return time.perf_counter() - began, model


def robust(model: Classifier, options: argparse.Namespace) -> float:
    """Accuracy under PGD-20 on 500 test images."""
    samples = Samples(load_data(options.test), None, options.classes, limit=500)
    batch: Batch = samples.whole(samples.good)
    with evaluating(model):
        oracle = Oracle(model, search_copy=search_copy(model, batch.images[:2]))
        (found,), _ = PGD(steps=20, rel_stepsize=0.125).attack(oracle, batch, norm="linf", eps=[options.eps])
    return 1 - float(found.fooled.double().mean())


def serve(tool: str, recipe: str, options: argparse.Namespace, pipe: Connection) -> None:
    """One tool in its own process: trains when told to."""
    work = Work(options)
    run: Callable[[int], tuple[float, Classifier]] = {
        "unshaken": lambda n: ours(work, recipe, "fp32", n),
        "unshaken-bf16": lambda n: ours(work, recipe, "bf16", n),
        "plain": lambda n: plain(work, recipe, n),
        "art": lambda n: art(work, recipe, n),
    }[tool]
    try:
        run(WARM)
        pipe.send(("ready", 0.0))
        while pipe.recv():
            seconds, model = run(len(work.images))
            pipe.send((seconds, ""))
            last = model
        pipe.send(robust(last, options))
    except ImportError as error:
        pipe.send(("absent", str(error)))


def compare(recipe: str, options: argparse.Namespace) -> None:
    """One recipe: all tools in turn."""
    context = multiprocessing.get_context("spawn")
    tools, pipes = options.tools.split(","), {}
    for tool in tools:
        mine, theirs = context.Pipe()
        context.Process(target=serve, args=(tool, recipe, options, theirs), daemon=True).start()
        word, _ = mine.recv()
        if word == "absent":
            print(f"| {recipe} | {tool} | absent | | | |")
        else:
            pipes[tool] = mine
    seconds: dict[str, list[float]] = {tool: [] for tool in pipes}
    for round_ in range(options.repeats):
        order = list(pipes)[round_ % len(pipes) :] + list(pipes)[: round_ % len(pipes)]
        for tool in order:
            pipes[tool].send(True)
            seconds[tool].append(pipes[tool].recv()[0])
    base = statistics.median(seconds.get("plain", next(iter(seconds.values()))))
    for tool, pipe in pipes.items():
        pipe.send(False)
        accuracy: Any = pipe.recv()
        times = seconds[tool]
        rate = options.images / statistics.median(times)
        spread = f"{options.images / max(times):.0f} to {options.images / min(times):.0f}"
        print(
            f"| {recipe} | {tool} | {rate:.0f} ({spread}) | {base / statistics.median(times):.2f} | {accuracy:.1%} |",
            flush=True,
        )


def main() -> None:
    """Parse and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default="at,trades")
    parser.add_argument("--tools", default="unshaken,unshaken-bf16,plain,art")
    parser.add_argument("--data", default="fashion-mnist?split=train", help="a data SPEC")
    parser.add_argument("--test", default="fashion-mnist", help="a data SPEC")
    parser.add_argument("--arch", default="small")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--eps", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=7, help="PGD steps")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {options.threads} threads, {options.images} images, PGD-{options.steps}")
    print("\n| recipe | tool | images/s (least to most) | speed | PGD-20 accuracy after one epoch |")
    print("|---|---|---|---|---|")
    for recipe in options.recipes.split(","):
        compare(recipe, options)


if __name__ == "__main__":
    main()
