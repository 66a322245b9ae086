"""Figures of the experiment with web noise, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from unshaken.measure import auroc
from unshaken.papers.frame.rows import Flags, Numbers, Rows
from unshaken.papers.frame.seed_errors import standard_error
from unshaken.papers.web_noise_lsa import ARMS, CONTROL, WebNoisePaper

THRESHOLD = 0.95
"""Posterior of a large loss above which small loss flags an image."""
PAIRS = (("linear", "small-loss"), ("alternate", "small-loss"), ("alternate", "linear"))
"""Arms whose accuracies are compared."""


def figures(paper: WebNoisePaper, rows: Rows) -> dict[str, Any]:
    """Accuracy and detection in each seed, their differences over seeds, and detection on random partitions."""
    seeds = {name: detection(part) | accuracy(part) for name, part in rows.repetitions(paper.seeds).items()}
    control = rows.within(CONTROL).repetitions(paper.control_seeds)
    over: dict[str, Any] = {"detection": standard_error([gain(part) for part in seeds.values()])}
    for one, other in PAIRS:
        apart = [part["accuracy"][one]["value"] - part["accuracy"][other]["value"] for part in seeds.values()]
        over[f"{one}_minus_{other}"] = standard_error(apart)
    return {**seeds, CONTROL: {name: detection(part) for name, part in control.items()}, "over_seeds": over}


def gain(part: Mapping[str, Any]) -> float:
    """The AUROC for images of no class of linear separation less that of small loss."""
    found: float = part["linear"]["auroc"]["ood"]["value"] - part["small-loss"]["auroc"]["ood"]["value"]
    return found


def accuracy(rows: Rows) -> dict[str, Any]:
    """Of each arm, on test images of the classes."""
    return {"accuracy": {arm: rows.accuracy(f"{arm}.test") for arm in ARMS}}


def detection(rows: Rows) -> dict[str, Any]:
    """Both detectors against images of no class and against flipped labels, and what the line drops."""
    table = rows.table("detections", "scores")
    kinds = np.array(table["kind"].to_pylist())
    line, loss, small = (table[name].to_numpy() for name in ("linear", "loss", "small_loss"))
    alike = stats.spearmanr(line, loss).statistic if np.ptp(line) else 0.0
    return {
        "linear": one_detector(line, line > 0.5, kinds),
        "small-loss": one_detector(loss, small > THRESHOLD, kinds),
        "rho": round(float(alike), 4),
        "clean_images": dropped(table, kinds),
    }


def one_detector(scores: Numbers, flags: Flags, kinds: NDArray[np.str_]) -> dict[str, Any]:
    """AUROC of the score, and the share of each kind that is flagged."""
    clean = scores[kinds == "clean"]
    ranked = {n: auroc(clean, scores[kinds == k]).to_json() for n, k in (("ood", "ood"), ("flips", "flip"))}
    flagged = {n: round(float(flags[kinds == n].mean()), 4) for n in ("clean", "ood", "flip")}
    return {"auroc": ranked, "flagged": flagged}


def dropped(table: pa.Table, kinds: NDArray[np.str_]) -> dict[str, Any]:
    """Mean loss and edges of right images that the line drops and of those that it keeps; None where there are none."""
    line = table["linear"].to_numpy() > 0.5
    found: dict[str, Any] = {}
    for name, where in (("dropped", line), ("kept", ~line)):
        chosen = where & (kinds == "clean")
        values = {n: table[n].to_numpy()[chosen] for n in ("loss", "edges")}
        found[name] = {n: round(float(v.mean()), 4) if len(v) else 0.0 for n, v in values.items()}
    return found
