"""How well each ranking finds wrong labels of which people have judged: CIFAR-10's test set, and CIFAR-10N.

    UNSHAKEN_DATA=DIR python benchmarks/label_rankings.py [--human 5000 --seeds 3 --epochs 12]

First, on CIFAR-10's 10,000 test images with cross-validated probabilities of others (`labels-cifar10`), where of 275
reviewed labels 54 were not confirmed and the others count as right: average precision of each ranking, and its
difference from the plain margin, cleanlab's, paired by the bootstrap. Nothing is chosen on the reviewed labels but what
is marked so. With `--human N`: AUROC, average precision and precision at the true number on N images of CIFAR-10N, for
every finder that cross-validated small networks serve, each column and seed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from unshaken.api.labels import find_labels
from unshaken.core.registry import parse_method
from unshaken.labels import Evidence, Probabilities
from unshaken.measure import aupr, paired_bootstrap

RANKINGS = (
    "normalized-margin", "normalized-margin:calibrate=true", "normalized-margin:temperature=4", "self-confidence",
    "confidence-weighted-entropy", "small-loss",
)  # fmt: skip
CHOSEN = {"normalized-margin:temperature=4"}
"""Looked up on the reviewed labels."""
FINDERS = (
    "self-confidence", "normalized-margin", "confidence-weighted-entropy", "confident-learning", "small-loss", "aum",
    "early-learning",
)  # fmt: skip


def reviewed(folder: Path) -> None:
    """The table of the test set."""
    table, votes = (pq.read_table(folder / "labels-cifar10" / f"{name}.parquet") for name in ("pyx_test", "mturk"))
    values = np.stack([table[name].to_numpy() for name in table.column_names if name.startswith("p_")], 1)
    wrong = np.zeros(len(table), bool)
    wrong[votes["test_index"].to_numpy()[np.array(votes["majority"].to_pylist()) != "given"]] = True
    evidence = Evidence(table["label"].to_numpy(), values.shape[1], Probabilities(values))
    print(f"{len(table):,} labels, {len(votes)} reviewed, {wrong.sum()} not confirmed\n")
    print("| ranking | average precision | minus the plain margin |")
    print("|---|---|---|")
    first = None
    for name in RANKINGS:
        suspicion = -parse_method(name, "labels").find(evidence).score
        right, bad = suspicion[~wrong], suspicion[wrong]
        difference = ""
        if first is not None:
            gap = paired_bootstrap("aupr_abnormal", *first, right, bad)
            difference = f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
        first = (right, bad) if first is None else first
        mark = " (chosen on these labels)" if name in CHOSEN else ""
        print(f"| {name}{mark} | {aupr(right, bad).figure.value:.4f} | {difference} |", flush=True)


def human(images: int, seeds: int, epochs: int) -> None:
    """The table of CIFAR-10N."""
    print("\n| column | seed | finder | AUROC | average precision | precision at the true number |")
    print("|---|---|---|---|---|---|")
    for column in ("aggre", "worse"):
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as place:
                spec = f"cifar10n:{column}"
                options = {"limit": images, "epochs": epochs, "seed": seed, "folds": 3, "review": 0}
                record = find_labels(spec, list(FINDERS), out=Path(place) / "run", **options).record
            for name, one in record["found"].items():
                keys = ("auroc", "average_precision", "precision_at_wrong")
                cells = [f"{f['value']:.3f} ({f['low']:.3f} to {f['high']:.3f})" for f in map(one["judged"].get, keys)]
                print(f"| {column} | {seed} | {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--human", type=int, default=0, help="images of CIFAR-10N; 0 for none")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    chosen = parser.parse_args()
    if "UNSHAKEN_DATA" not in os.environ:
        parser.error("set UNSHAKEN_DATA to the folder that holds labels-cifar10 and cifar10")
    reviewed(Path(os.environ["UNSHAKEN_DATA"]).expanduser())
    if chosen.human:
        human(chosen.human, chosen.seeds, chosen.epochs)


if __name__ == "__main__":
    main()
