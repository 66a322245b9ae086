"""PGD in the linf ball: unshaken beside foolbox, torchattacks, ART and a plain hand-written loop.

    python benchmarks/attack_peers.py --model both --images 200 --repeats 5 --threads 2

Every tool attacks the same first N demo images (misclassified ones too) of the same network with the same budget:
`--steps` gradient steps of eps/30 (`--step-share` of eps), cross-entropy, one uniform random start, batches of
`--batch-size`. Peers keep their own ways in all else. With `--frozen`, the default, no weight asks for a gradient,
which spares the peers that call `backward()` the weights' gradients; with `--no-frozen` all weights ask for one.

How it is measured. One counted run of each tool comes first and is its warm-up. Then the tools take turns for
`--repeats` rounds, in an order that rotates, all with seed r in round r. Seconds hold everything from tensors to
adversarial tensors, the building of the tool's objects included; the median, least and largest are shown, and the
ratio to the plain loop of the same round, so that a busy machine harms all alike. Passes are counted below all tools,
by the convolutions that torch executes for how many images, over those of one pass; a tool cannot miscount itself.
Robust accuracy is over all images: a sample is broken when it is misclassified clean, or when what the tool returned
lies in the ball (to a relative 1e-6) and in [0, 1] and a plain float32 forward pass of the model gives another class
than the label. Returned images outside are counted as `outside` and break nothing.

What is not the same. The peers judge their last iterate; unshaken ends a sample at the first success, confirmed in
float32. On a network that PGD breaks easily this saves most passes; on a robust one nearly none.

A tool that is not installed stands in the table as absent. See README.md for an environment with all of them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from _peers import absent, count, first_images, installed, judge, label, machine, span, spread
from torch import Tensor, nn

import unshaken
from unshaken.core import Batch, Classifier


@dataclass(frozen=True, slots=True)
class Budget:
    """What every tool is given: radius and step in [0, 1] pixel units, steps, images a batch."""

    eps: float
    step: float
    steps: int
    batch_size: int


Run = Callable[[Classifier, Tensor, Tensor, Budget, int], Tensor]
"""From model, images `[N, C, H, W]`, labels `[N]`, budget and seed to adversarial images, a tool's own way."""


def plain(model: Classifier, images: Tensor, labels: Tensor, budget: Budget, seed: int) -> Tensor:
    """The loop that one writes by hand."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for x, y in zip(images.split(budget.batch_size), labels.split(budget.batch_size), strict=True):
        low, high = (x - budget.eps).clamp(min=0), (x + budget.eps).clamp(max=1)
        point = (x + budget.eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(low, high)
        for _ in range(budget.steps):
            point.requires_grad_(True)
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), y, reduction="sum"), point)
            point = (point.detach() + budget.step * gradient.sign()).clamp(low, high)
        parts.append(point)
    return torch.cat(parts)


def run_torchattacks(model: Classifier, images: Tensor, labels: Tensor, budget: Budget, seed: int) -> Tensor:
    """`torchattacks.PGD`."""
    import torchattacks

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        attack = torchattacks.PGD(model, eps=budget.eps, alpha=budget.step, steps=budget.steps, random_start=True)
        batches = zip(images.split(budget.batch_size), labels.split(budget.batch_size), strict=True)
        return torch.cat([attack(x, y) for x, y in batches])


def run_foolbox(model: Classifier, images: Tensor, labels: Tensor, budget: Budget, seed: int) -> Tensor:
    """`foolbox.attacks.LinfPGD` with one epsilon; the clipped images are taken."""
    import foolbox

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        attack = foolbox.attacks.LinfPGD(abs_stepsize=budget.step, steps=budget.steps, random_start=True)
        batches = zip(images.split(budget.batch_size), labels.split(budget.batch_size), strict=True)
        return torch.cat([attack(wrapped, x, y, epsilons=budget.eps)[1] for x, y in batches])


def run_art(model: Classifier, images: Tensor, labels: Tensor, budget: Budget, seed: int) -> Tensor:
    """ART's `ProjectedGradientDescentPyTorch`, which takes and gives numpy arrays."""
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    np.random.seed(seed)  # noqa: NPY002 - ART draws from numpy's global generator
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = PyTorchClassifier(
            model,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(images.shape[1:]),
            nb_classes=int(labels.max()) + 1,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        attack = ProjectedGradientDescentPyTorch(
            classifier,
            norm=np.inf,
            eps=budget.eps,
            eps_step=budget.step,
            max_iter=budget.steps,
            num_random_init=1,
            batch_size=budget.batch_size,
            verbose=False,
        )
        return torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


def run_unshaken(model: Classifier, images: Tensor, labels: Tensor, budget: Budget, seed: int) -> Tensor:
    """`unshaken.attack.PGD` through a fresh oracle, as `unshaken attack` runs it; the search copy is made anew."""
    from unshaken.attack.gradient.pgd import PGD
    from unshaken.core import Oracle
    from unshaken.core.search_copy import search_copy

    batch = Batch(images, labels, tuple(str(i) for i in range(len(images))))
    attack = PGD(steps=budget.steps, rel_stepsize=budget.step / budget.eps)
    oracle = Oracle(model, limit=budget.batch_size, search_copy=search_copy(model, images[:2]))
    (found,), _ = attack.attack(oracle, batch, norm="linf", eps=[budget.eps], seed=seed)
    return found.images


TOOLS: dict[str, Run] = {
    "plain": plain,
    "foolbox": run_foolbox,
    "torchattacks": run_torchattacks,
    "art": run_art,
    "unshaken": run_unshaken,
}
"""Name to adapter."""


@dataclass(slots=True)
class Row:
    """What was measured of one tool on one network."""

    forwards: float = 0.0
    backwards: float = 0.0
    seconds: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    outside: int = 0


def compare(
    model: Classifier, images: Tensor, labels: Tensor, budget: Budget, tools: list[str], repeats: int
) -> dict[str, Row]:
    """Count each tool once, then time all in turn."""
    rows = {name: Row() for name in tools}
    for name in tools:
        work = partial(TOOLS[name], model, images, labels, budget, 0)
        rows[name].forwards, rows[name].backwards, _ = count(model, images, work)
    for turn in range(repeats):
        shift = turn % len(tools)
        for name in tools[shift:] + tools[:shift]:
            began = time.perf_counter()
            found = TOOLS[name](model, images, labels, budget, turn)
            rows[name].seconds.append(time.perf_counter() - began)
            verdict = judge(model, images, labels, found)
            rows[name].accuracy.append(verdict.accuracy(budget.eps))
            rows[name].outside = max(rows[name].outside, verdict.outside(budget.eps))
    return rows


def table(rows: dict[str, Row], wanted: list[str]) -> Iterator[str]:
    """A Markdown table; ratios are those of the same round, above 1 where the tool is faster than the plain loop."""
    yield "| tool | seconds (least to most) | speed, plain = 1 | robust accuracy | outside | forwards | backwards |"
    yield "|---|---|---|---|---|---|---|"
    for name in wanted:
        if name not in rows:
            yield f"| {name} | {absent(name)} | | | | | |"
            continue
        row = rows[name]
        ratio = "not measured"
        if "plain" in rows:
            ratios = [a / b for a, b in zip(rows["plain"].seconds, row.seconds, strict=True)]
            ratio = spread(ratios, 2)
        yield (
            f"| {label(name)} | {spread(row.seconds, 3)} | {ratio} | {span(row.accuracy)} | {row.outside} "
            f"| {row.forwards:.2f} | {row.backwards:.2f} |"
        )


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"of {', '.join(TOOLS)}; default all")
    parser.add_argument("--model", choices=["standard", "robust", "both"], default="both", help="which demo network")
    parser.add_argument("--images", type=int, default=200, help="the first N demo images (default 200)")
    parser.add_argument("--steps", type=int, default=40, help="gradient steps (default 40)")
    parser.add_argument("--eps", type=float, default=0.1, help="radius in [0, 1] pixel units (default 0.1)")
    parser.add_argument("--step-share", type=float, default=1 / 30, help="step as a share of eps (default 1/30)")
    parser.add_argument("--batch-size", type=int, default=256, help="images a pass at most (default 256)")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--frozen", action=argparse.BooleanOptionalAction, default=True, help="no weight gradients")
    chosen = parser.parse_args()
    chosen.tools = [name.strip() for name in chosen.tools.split(",")]
    unknown = sorted(set(chosen.tools) - set(TOOLS))
    least = min(chosen.images, chosen.steps, chosen.repeats, chosen.threads, chosen.batch_size)
    if unknown or least < 1 or chosen.eps <= 0 or chosen.step_share <= 0:
        wrong = (
            f"unknown tools {unknown}: use {', '.join(TOOLS)}" if unknown else "counts must be 1 or more, eps above 0"
        )
        parser.error(wrong)
    return chosen


def main() -> None:
    """Measure and print."""
    chosen = options()
    warnings.simplefilter("ignore", DeprecationWarning)  # foolbox imports a renamed scipy namespace
    torch.set_num_threads(chosen.threads)
    budget = Budget(chosen.eps, chosen.eps * chosen.step_share, chosen.steps, chosen.batch_size)
    images, labels = first_images(chosen.images)
    tools = [name for name in chosen.tools if installed(name)]
    print(f"{machine()}, {time.strftime('%Y-%m-%d')}\n")
    for kind in ["standard", "robust"] if chosen.model == "both" else [chosen.model]:
        model = unshaken.load_model(f"demo:{kind}").eval().requires_grad_(not chosen.frozen)
        rows = compare(model, images, labels, budget, tools, chosen.repeats)
        print(
            f"demo:{kind}, {len(images)} images, PGD-{budget.steps} linf eps {budget.eps:g}, step {budget.step:.6g}, "
            f"{chosen.repeats} rounds, weights {'frozen' if chosen.frozen else 'with gradients'}\n"
        )
        print("\n".join(table(rows, chosen.tools)) + "\n")


if __name__ == "__main__":
    main()
