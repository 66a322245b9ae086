"""A board of 16 networks under three protocols, each a run that can be asked about, and the files of leaderboards.

    python benchmarks/board.py --out runs/board16

Four architectures are trained here on the first `--train` images of Fashion-MNIST's training half, each in four ways:
plainly, with Gaussian noise, by N-FGSM in linf, by PGD training in l2. AutoAttack in linf at 0.1 and in l2 at 1 on
`--attacked` images of the test half, and the 15 corruptions at all severities on `--corrupted`, are the protocols.

Written are `networks/` and `runs/`, the board in `board/`, and in `files/` the same runs in the formats of RobustBench,
of the Hugging Face hub and of timm, which `leaderboard_files.py` reads by their owners' packages. What is finished is
not done again. With `--part 0/2` and `--part 1/2` two processes share the networks; a call without it makes the board.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from _peers import machine

import unshaken
from unshaken.api import export_runs

ARCHITECTURES = ("strided-cnn", "small", "small-cnn", "small-vit")
TRAININGS = {
    "plain": [],
    "noise": ["noise"],
    "linf": ["n-fgsm:eps=0.1"],
    "l2": ["at:norm=l2,eps=1.5,steps=4,rel_stepsize=0.4"],
}
TEST = "fashion-mnist?split=test"
TRAIN = "fashion-mnist?split=train"
ATTACKS = {"linf": 0.1, "l2": 1.0}
HUB = "zalando-datasets/fashion_mnist"
"""Name of the data on the hub, for `.eval_results`."""


def networks() -> Iterator[tuple[str, str, list[str]]]:
    """Architecture, training and recipes of each network, the cheapest first."""
    for arch in ARCHITECTURES:
        for training, recipes in TRAININGS.items():
            yield arch, training, recipes


def examine(arch: str, training: str, recipes: list[str], options: argparse.Namespace) -> None:
    """Train one network and run the three protocols on it."""
    name, began = f"{arch}-{training}", time.perf_counter()
    trained, runs = options.out / "networks" / name, options.out / "runs" / name
    if not (trained / "model.safetensors").is_file() or not (trained / "report.html").is_file():
        unshaken.harden(
            arch, TRAIN, recipes, out=trained, limit=options.train, epochs=options.epochs, resume=trained.exists()
        )
    model = f"run:{trained}"
    for norm, eps in ATTACKS.items():
        out = runs / norm
        unshaken.attack(
            model, TEST, "autoattack", norm=norm, eps=eps, limit=options.attacked, name=name, out=str(out),
            resume=out.exists(),
        )  # fmt: skip
    out = runs / "corruptions"
    unshaken.audit(
        model, TEST, plan="corruptions", limit=options.corrupted, name=name, out=str(out), resume=out.exists()
    )
    files = options.out / "files"
    for norm in ATTACKS:
        export_runs(runs / norm, form="robustbench", out=files / "model_info" / norm / f"{name}.json")
    every = [runs / kind for kind in (*ATTACKS, "corruptions")]
    export_runs(*every, form="eval-results", dataset=HUB, out=files / name / ".eval_results" / "unshaken.yaml")
    print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)


def show(board: unshaken.api.BoardResult) -> None:
    """Print a line a network: parameters, accuracy on unchanged images, and each protocol's figure and ranks."""
    rows = board.table()
    plans = list(dict.fromkeys(row["plan"] for row in rows))
    print(f"| network | parameters | unchanged | {' | '.join(plans)} |")
    print("|---|---|---|" + "---|" * len(plans))
    for name in dict.fromkeys(row["model"] for row in rows):
        own = {row["plan"]: row for row in rows if row["model"] == name}
        most = max(own.values(), key=lambda row: row["n"])
        texts = [f"{most['parameters']:,}", share(most["clean"], most["clean_low"], most["clean_high"])]
        for plan in plans:
            row = own[plan]
            ranks = dict.fromkeys((row["rank_low"], row["rank_high"]))
            texts.append(f"{share(row['value'], row['low'], row['high'])}: {' to '.join(map(str, ranks))}")
        print(f"| `{name}` | {' | '.join(texts)} |")


def share(value: float, low: float, high: float) -> str:
    """A share with its interval in per cent."""
    return f"{value:.1%} ({low * 100:.1f} to {high * 100:.1f})"


def main() -> None:
    """Train, run, and make the board."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for networks, runs and board")
    parser.add_argument("--train", type=int, default=10_000, help="images learned from")
    parser.add_argument("--epochs", type=int, default=6, help="passes over them")
    parser.add_argument("--attacked", type=int, default=200, help="test images under AutoAttack")
    parser.add_argument("--corrupted", type=int, default=1000, help="test images under corruptions")
    parser.add_argument("--part", help="I/N: only each N-th network, and no board")
    options = parser.parse_args()
    first, apart = (int(n) for n in options.part.split("/")) if options.part else (0, 1)
    if options.part:
        torch.set_num_threads(1)
    for arch, training, recipes in list(networks())[first::apart]:
        examine(arch, training, recipes, options)
    if options.part:
        return
    runs = [options.out / "runs" / f"{arch}-{training}" for arch, training, _ in networks()]
    export_runs(
        *(run / "corruptions" for run in runs), form="timm", out=options.out / "files" / "results-fashion-mnist.csv"
    )
    print(f"{machine()}\n")
    show(unshaken.board(*runs, out=options.out / "board"))


if __name__ == "__main__":
    main()
