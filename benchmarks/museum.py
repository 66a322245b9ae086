"""The museum of broken defences: what careless attacks leave of each, what `auto` reports, and which flags tell.

    python benchmarks/museum.py --images 100 --eps 0.1
    python benchmarks/museum.py --exhibits noise,random_resize --steps 20 --queries 500

All exhibits stand before the same network, `demo:standard`, and are attacked on the same N demo images (a stratified
subset) in linf. The careless attack is PGD-40 as many run it: one pass a gradient, ended at its first success. It is
made through the defence (for the detector, on the bare network), and the table shows what fresh passes, the mean of
five, say of the images that it found: right answers and rejections count as robust. The column AutoAttack is the same
for its version `standard`, with the steps and queries that `auto` has, through the defence whatever that is. `auto` and
the flags are those of an audit with PGD and `auto` in it; passes and seconds are `auto`'s, passes a sample, forward and
backward. Nobody is told which exhibit it is. The bare network comes first, for comparison.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from _peers import machine
from torch import Tensor

import unshaken
from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import evaluating
from unshaken.core.oracle import required
from unshaken.data import load_data, stream, subset
from unshaken.models import load_model
from unshaken.models.museum import EXHIBITS

LOOKS = 5


@dataclass(frozen=True, slots=True)
class Budget:
    """The linf radius, images, and what `auto` may use."""

    eps: float
    images: int
    steps: int
    queries: int


def held(model: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of fresh answers that are right or rejections."""
    with torch.no_grad():
        answers = torch.stack([model(images).argmax(1) for _ in range(LOOKS)])
    fine = answers == labels
    return float((fine if model.reject is None else fine | (answers == model.reject)).double().mean())


def samples(n: int, model: Classifier) -> Batch:
    """The demo images that an audit with this limit takes."""
    data = load_data("demo")
    (batch,) = stream(data, subset(data, n).tolist(), view=model.view, batch_size=n)
    if not isinstance(batch, Batch):
        raise SystemExit(f"a demo image cannot be read: {batch}")
    return batch


def careless(attack: PGD | AutoAttack, source: Classifier, model: Classifier, budget: Budget) -> float:
    """What is left of a model's accuracy on the images that an attack on the source found, by one pass a gradient."""
    batch = samples(budget.images, model)
    with evaluating(model), evaluating(source):
        (found,), _ = attack.attack(Oracle(source), batch, norm="linf", eps=[budget.eps])
        return held(model, found.images, required(batch.labels))


def row(spec: str, name: str, bare: Classifier, budget: Budget) -> str:
    """One line of the table."""
    auto = {"steps": budget.steps, "queries": budget.queries}
    plan = [
        {"method": "pgd", "eps": [budget.eps]},
        {"method": "auto", "eps": [budget.eps], "params": auto},
    ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        summary = unshaken.audit(spec, "demo", plan, limit=budget.images, out=out, save_examples=0).summary
    accuracy = {c["method"]: c for c in summary["conditions"]}
    flags = ", ".join(sorted({f["name"] for f in summary["flags"]})) or "none"
    spent, n, model = accuracy["auto"], budget.images, load_model(spec)
    alone = AutoAttack(steps=budget.steps, queries=budget.queries)
    cells = [
        name,
        f"{summary['clean']['value']:.0%}",
        f"{careless(PGD(), model if model.reject is None else bare, model, budget):.0%}",
        f"{careless(alone, model, model, budget):.0%}",
        f"{spent['accuracy']['value']:.0%}",
        flags,
        f"{spent['forwards'] / n:,.0f} + {spent['backwards'] / n:,.0f}",
        f"{spent['seconds']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100, help="demo images")
    parser.add_argument("--eps", type=float, default=0.1, help="linf radius, in [0, 1] pixel units")
    parser.add_argument("--steps", type=int, default=100, help="gradient steps of auto's attacks")
    parser.add_argument("--queries", type=int, default=5000, help="queries of auto's Square")
    parser.add_argument("--exhibits", default=",".join(EXHIBITS), help="which, with commas between")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    budget = Budget(options.eps, options.images, options.steps, options.queries)
    bare = load_model("demo:standard")
    print(f"{machine()}; {budget.images} demo images, linf {budget.eps:g}\n")
    print("| exhibit | clean | careless PGD-40 | AutoAttack | auto | flags | auto's passes | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    print(row("demo:standard", "(bare)", bare, budget), flush=True)
    for name in options.exhibits.split(","):
        print(row(f"py:unshaken.models.museum:{name}", name, bare, budget), flush=True)


if __name__ == "__main__":
    main()
