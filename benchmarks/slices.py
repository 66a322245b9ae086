"""Weak slices: how often a planted one is found, and how often one is reported that is not weak.

Images of a parquet file are measured (brightness, contrast, saturation, sharpness), each gets a random camera and
weather, and a model's answers are drawn: right with probability 0.9, and less in the planted slice, which is the
darkest quarter of the images of one camera. `find_weak_slices` stands beside a decision tree of depth 2 (scikit-learn)
on the same columns, whose worst leaf is reported where Fisher's exact test, on the samples that the tree was fitted on,
is below 0.05. With `--deepchecks PYTHON`, the Python of another virtual environment (see
`benchmarks/_deepchecks_segments.py`), deepchecks' WeakSegmentsPerformance stands beside both: its weakest segment, and
that where the check's own condition on it fails.

Run: `python benchmarks/slices.py --data DATA/cifar10/test.parquet`. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom
from sklearn.tree import DecisionTreeClassifier

from unshaken.data import load_data
from unshaken.data.properties import find_property, measure_image
from unshaken.measure.slices import Slicing, cut_column, find_weak_slices
from unshaken.measure.statistics.intervals import share

MEASURED = ("brightness", "contrast", "saturation", "sharpness")
RIGHT, CAMERAS = 0.9, 4
Flags = NDArray[np.bool_]


def is_planted(rows: Flags, planted: Flags) -> bool:
    """Whether a slice shares at least half of its samples with the planted one (Jaccard)."""
    return bool((rows & planted).sum() >= 0.5 * (rows | planted).sum())


def tree_slices(columns: NDArray[np.float64], right: Flags) -> list[Flags]:
    """The worst leaf of a tree, if the samples that made it call it weak."""
    tree = DecisionTreeClassifier(max_depth=2, min_samples_leaf=40, random_state=0).fit(columns, right)
    leaves = tree.apply(columns)
    worst = min(np.unique(leaves).tolist(), key=lambda leaf: float(right[leaves == leaf].mean()))
    rows: Flags = leaves == worst
    p = hypergeom.cdf(right[rows].sum(), len(right), right.sum(), rows.sum())
    return [rows] if p < 0.05 and not rows.all() else []


Trial = dict[str, tuple[bool, bool, float]]
"""For each method: the planted slice was found, a slice was reported that is not weaker, and seconds."""


def trial(numbers: dict[str, list[float]], drop: float, seed: int, file: Path) -> tuple[Trial, Flags, NDArray[Any]]:
    """The result, which samples are planted, and the chance of each to be right; the trial's columns go to a file."""
    rng, n = np.random.default_rng(seed), len(numbers[MEASURED[0]])
    camera, weather = rng.integers(CAMERAS, size=n), rng.integers(3, size=n)
    slicings = [cut_column(name, numbers[name]) for name in MEASURED]
    slicings += [Slicing("camera", tuple(map(str, range(CAMERAS))), camera), Slicing("weather", tuple("abc"), weather)]
    planted = (camera == 1) & (slicings[0].codes == 0)
    chance = np.where(planted, RIGHT - drop, RIGHT)
    right, first = rng.random(n) < chance, rng.permutation(n) % 2 == 0
    columns = np.column_stack([*(numbers[name] for name in MEASURED), np.eye(CAMERAS)[camera], np.eye(3)[weather]])
    out = {}
    for name in ("find_weak_slices", "decision tree"):
        start = time.process_time()
        if name == "decision tree":
            found = tree_slices(columns, right)
        else:
            found = [one.rows for one in find_weak_slices(right, slicings, first) if one.confirmed]
        seconds = time.process_time() - start
        out[name] = *verdict(found, planted, chance), seconds
    words = {"camera": camera.astype(str), "weather": np.array(list("abc"))[weather]}
    np.savez(file, right=right, **{name: np.array(numbers[name]) for name in MEASURED}, **words)
    return out, planted, chance


def verdict(found: list[Flags], planted: Flags, chance: NDArray[Any]) -> tuple[bool, bool]:
    """Whether the planted slice is among those found, and whether any of them is not weaker than the other images."""
    false = any(chance[rows].mean() >= chance[~rows].mean() - 1e-9 for rows in found)
    return any(is_planted(rows, planted) for rows in found), false


def add_deepchecks(python: str, folder: str, trials: list[tuple[Trial, Flags, NDArray[Any]]]) -> None:
    """Add what deepchecks finds in the trials of a folder."""
    helper = str(Path(__file__).with_name("_deepchecks_segments.py"))
    done = subprocess.run([python, "-W", "ignore", helper, folder], capture_output=True, text=True, check=True)
    for one, (out, planted, chance) in zip(json.loads(done.stdout.splitlines()[-1]), trials, strict=True):
        rows = np.zeros(len(planted), bool)
        rows[one["rows"]] = True
        weakest = [rows] if rows.any() and not rows.all() else []
        out["deepchecks, weakest segment"] = *verdict(weakest, planted, chance), one["seconds"]
        held = weakest if one["condition"] else []
        out["deepchecks, its condition fails"] = *verdict(held, planted, chance), one["seconds"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="parquet file of images")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=20, help="trials for each strength")
    parser.add_argument("--null-seeds", type=int, default=100, help="trials without a weak slice")
    parser.add_argument("--deepchecks", help="Python of a virtual environment with deepchecks")
    options = parser.parse_args()
    data, properties = load_data(f"parquet:{options.data}"), [find_property(name) for name in MEASURED]
    rows: list[dict[str, Any]] = [measure_image(data.read(i), properties) for i in range(options.images)]
    numbers = {name: [row[name] for row in rows] for name in MEASURED}
    print(f"{options.images} images, the planted slice is about {options.images // 4 // CAMERAS} of them")
    print("| accuracy lost | method | planted one found | a false one reported | seconds |\n|---|---|---|---|---|")
    for drop in (0.0, 0.1, 0.2, 0.4):
        seeds = range(options.seeds if drop else options.null_seeds)
        with tempfile.TemporaryDirectory() as folder:
            trials = [trial(numbers, drop, 1000 + seed, Path(folder, f"{seed:04d}.npz")) for seed in seeds]
            if options.deepchecks:
                add_deepchecks(options.deepchecks, folder, trials)
        for method in trials[0][0]:
            own = [t[method] for t, _, _ in trials]
            power, false = (share(sum(o[k] for o in own), len(own)) for k in (0, 1))
            shown = [f"{f.value:.2f} ({f.low:.2f} to {f.high:.2f})" for f in (power, false)]
            found = shown[0] if drop else "–"
            print(f"| {drop} | {method} | {found} | {shown[1]} | {np.median([o[2] for o in own]):.3f} |", flush=True)


if __name__ == "__main__":
    main()
