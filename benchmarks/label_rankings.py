"""How well each finder tells wrong labels of which people have judged: CIFAR-10's test set, and CIFAR-10N.

    UNSHAKEN_DATA=DIR python benchmarks/label_rankings.py [--human 5000 --seeds 3 --out runs/rankings]

First, on CIFAR-10's 10,000 test images with cross-validated probabilities of others (`labels-cifar10`), where of 275
reviewed labels 54 were not confirmed and the others count as right: average precision of each ranking, and its
difference from the plain margin, cleanlab's, paired by the bootstrap. Nothing is chosen on the reviewed labels but what
is marked so.

With `--human N`: AUROC, average precision and precision at the true number on the same N images of CIFAR-10N for every
finder that there is, by columns of labels, over seeds of folds and weights. Finders that need probabilities or margins
get those of cross-validated small networks; those that need features get the ones of a frozen ImageNet network, made
once, with the probabilities of a linear classifier of them, cross-validated too: finders of probabilities alone stand
in both. A second call with the same `--out` goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from unshaken import load_data, load_model
from unshaken.core.registry import list_methods, parse_method
from unshaken.data.resident import Samples
from unshaken.harden.engine.cross_validation import cross_validate
from unshaken.harden.engine.training import Training
from unshaken.labels import Evidence, Probabilities
from unshaken.labels.engine.frozen import features_of
from unshaken.labels.engine.known_truth import judge_scores
from unshaken.labels.engine.out_of_sample import probe_probabilities, stratified_folds
from unshaken.measure import aupr, paired_bootstrap
from unshaken.measure.statistics.means import over_seeds
from unshaken.store.run_dir import RunDir

RANKINGS = (
    "normalized-margin", "normalized-margin:calibrate=true", "normalized-margin:temperature=4", "self-confidence",
    "confidence-weighted-entropy", "small-loss",
)  # fmt: skip
CHOSEN = {"normalized-margin:temperature=4"}
"""Looked up on the reviewed labels."""
COLUMNS, FOLDS, CLASSES = ("aggre", "worse"), 3, 10
FIGURES = ("auroc", "average_precision", "precision_at_wrong")
BACKBONE = "imagenet:efficientnet-lite0?size=96"


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


class Human:
    """Images of CIFAR-10N with what finders are given of them.

    Args:
        images: their number; the same ones for all columns and seeds.
        arch: of the networks that are cross-validated.
        backbone: SPEC of the network whose features are frozen.
        epochs: of each network.
        out: where folds and features are kept.
    """

    def __init__(self, images: int, arch: str, backbone: str, epochs: int, out: Path) -> None:
        self.arch, self.backbone, self.epochs = arch, backbone, epochs
        self.out = out / f"{images}-{arch}-{epochs}"
        self.samples = Samples(load_data("cifar10?split=train"), None, CLASSES, limit=images)
        self.ids = [self.samples.dataset.ids[i] for i in self.samples.good]
        self.truth = self.samples.labels[self.samples.good].numpy()

    def labels(self, column: str) -> np.ndarray:
        """People's labels of the images."""
        data = load_data(f"cifar10n:{column}")
        place = {id: i for i, id in enumerate(data.ids)}
        found: np.ndarray = np.asarray(data.labels)[[place[id] for id in self.ids]]
        return found

    def features(self) -> np.ndarray:
        """Of the frozen network, `[N, D]`; kept for the next call."""
        name = "".join(c if c.isalnum() else "-" for c in self.backbone)
        place = self.out / f"features-{name}.npy"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            model = load_model(self.backbone).eval()
            seen = Samples(load_data("cifar10?split=train"), model.view, CLASSES, limit=len(self.ids), sparse=True)
            np.save(place, features_of(model, seen, seen.good))
        return np.asarray(np.load(place))

    def evidence(self, column: str, seed: int) -> Iterator[tuple[str, Evidence]]:
        """What finders are given, by the name of its source."""
        labels = self.labels(column)
        fold = stratified_folds(labels, FOLDS, seed)
        training = Training(epochs=self.epochs, seed=seed)
        run = RunDir(self.out / f"{column}-{seed}")
        images = self.samples.resident
        assert images is not None
        found = cross_validate(
            self.arch, images, torch.from_numpy(labels), fold, training, classes=CLASSES, device=torch.device("cpu"),
            run=run, watch=True,
        )  # fmt: skip
        yield "networks", Evidence(labels, CLASSES, Probabilities(found.probabilities), margins=found.margins)
        features = self.features()
        probabilities = probe_probabilities(features, labels, fold, CLASSES)
        yield "features", Evidence(labels, CLASSES, Probabilities(probabilities), features)


def human(data: Human, seeds: int) -> None:
    """The table of CIFAR-10N: means over seeds with Student's intervals, and each seed."""
    print(f"\n{len(data.ids):,} images; networks: {data.arch}, {data.epochs} epochs; features: {data.backbone}")
    print("\n| labels | finder | by | AUROC | average precision | precision at the true number |")
    print("|---|---|---|---|---|---|")
    finders = [method.cls() for method in list_methods("labels")]
    for column in COLUMNS:
        found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
        for seed in range(seeds):
            for source, evidence in data.evidence(column, seed):
                for finder in finders:
                    if finder.needs <= evidence.kinds:
                        judged = judge_scores(finder.find(evidence), evidence.labels, data.truth)
                        values = tuple(judged[key].value for key in FIGURES)
                        found.setdefault((finder.info.name, source), []).append(values)
        for (name, source), rows in sorted(found.items()):
            cells = (_cell(values) for values in zip(*rows, strict=True))
            print(f"| {column} | {name} | {source} | {' | '.join(cells)} |", flush=True)
        absent = {finder.info.name for finder in finders} - {name for name, _ in found}
        assert not absent, f"no evidence for {absent}"


def _cell(values: tuple[float, ...]) -> str:
    each = ", ".join(f"{v:.3f}" for v in values)
    if len(values) < 2:
        return each
    mean = over_seeds(values, low=0, high=1)
    return f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}; {each})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--human", type=int, default=0, help="images of CIFAR-10N; 0 for none")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8, help="of each network")
    parser.add_argument("--arch", default="small", help="of the networks")
    parser.add_argument("--backbone", default=BACKBONE, help="SPEC of the network whose features are frozen")
    parser.add_argument("--out", type=Path, default=Path("runs/label-rankings"), help="folder of folds and features")
    chosen = parser.parse_args()
    if "UNSHAKEN_DATA" not in os.environ:
        parser.error("set UNSHAKEN_DATA to the folder that holds labels-cifar10 and cifar10")
    reviewed(Path(os.environ["UNSHAKEN_DATA"]).expanduser())
    if chosen.human:
        began = time.perf_counter()
        human(Human(chosen.human, chosen.arch, chosen.backbone, chosen.epochs, chosen.out), chosen.seeds)
        print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
