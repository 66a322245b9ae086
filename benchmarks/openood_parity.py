"""Is the table that `detect score --openood` writes the one that OpenOOD 1.5 computes of the same scores?

    git clone https://github.com/Jingkang50/OpenOOD
    python benchmarks/openood_parity.py --code OpenOOD --near cifar10='cifar10?mode=L&size=28' --far noise=folder:noise

Detectors are fitted on one half of the embedded demo and score the other and the abnormal sets, by one command.
OpenOOD's own `compute_all_metrics` gets the scores of each set, negated, for there a normal sample has the higher
one. Printed is how far its figures lie from those of the table, in points; two decimals can be 0.005 away.

Needs the code of OpenOOD, of which `openood/evaluators/metrics.py` is imported, and scikit-learn.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _peers import machine

from unshaken.cli.app import main as unshaken
from unshaken.report.read.scores import NORMAL, read_scores
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir

COLUMNS = ("FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT", "ACC")


def theirs(code: Path) -> Any:
    """OpenOOD's `compute_all_metrics`, from its file alone."""
    spec = importlib.util.spec_from_file_location("metrics", code / "openood" / "evaluators" / "metrics.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_all_metrics


def main() -> None:
    """Make the table, and compute it again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", type=Path, required=True, help="folder of OpenOOD's code")
    parser.add_argument("--near", action="append", default=[], help="NAME=SPEC, may be repeated")
    parser.add_argument("--far", action="append", default=[], help="NAME=SPEC, may be repeated")
    parser.add_argument("--methods", default="msp,energy,max-logit,knn,mahalanobis", help="detectors")
    parser.add_argument("--limit", type=int, default=500, help="images of each set")
    options = parser.parse_args()
    compute = theirs(options.code)
    sets = [f"{group}/{one}" for group in ("near", "far") for one in getattr(options, group)]
    with tempfile.TemporaryDirectory() as folder:
        out, table = Path(folder, "run"), Path(folder, "ood.csv")
        words = ["--model", "demo", "--data", "demo?split=second", "--fit", "demo?split=first", "--not-attacked"]
        words += [w for m in options.methods.split(",") for w in ("--method", m)]
        words += [w for s in sets for w in ("--against", s)]
        code = unshaken([
            "--quiet", "detect", "score", *words, "--limit", str(options.limit), "--out", str(out),
            "--openood", str(table),
        ])  # fmt: skip
        assert code == 0, code
        with table.open(newline="") as file:
            lines = list(csv.DictReader(file))
        run = RunDir(str(out))
        scores = read_scores(run, read_config(run)).sets
    apart = {name: list[float]() for name in COLUMNS}
    for detector in dict.fromkeys(line.get("postprocessor", "") for line in lines):
        own = scores[detector] if detector else next(iter(scores.values()))
        normal = own[NORMAL]
        for group in ("near", "far"):
            means = list[list[float]]()
            for one in getattr(options, group):
                name = one.partition("=")[0]
                found = own[f"{group}/{name}"]
                conf = -np.concatenate([normal.values, found.values])
                label = np.concatenate([normal.label[normal.known], np.full(len(found.values), -1)])
                pred = np.concatenate([normal.prediction[normal.known], found.prediction[found.known]])
                means.append([100 * float(x) for x in compute(conf, label, pred)])
                hold(apart, lines, detector, name, means[-1])
            if means:
                hold(apart, lines, detector, f"{group}ood", np.mean(means, axis=0).tolist())
    print(machine(), end="\n\n")
    print("| figure | compared | furthest apart, points |\n|---|---|---|")
    for name, gaps in apart.items():
        print(f"| {name} | {len(gaps)} | {max(gaps):.4f} |")


def hold(
    apart: dict[str, list[float]], lines: list[dict[str, str]], detector: str, name: str, own: list[float]
) -> None:
    """Note how far OpenOOD's figures of one set lie from the table's line."""
    (line,) = (line for line in lines if line["dataset"] == name and line.get("postprocessor", "") == detector)
    for column, value in zip(COLUMNS, own, strict=True):
        apart[column].append(abs(float(line[column]) - value))


if __name__ == "__main__":
    main()
