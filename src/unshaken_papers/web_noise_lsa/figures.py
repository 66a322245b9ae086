"""Figures of the experiment with web noise, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from unshaken.measure import auroc
from unshaken.papers.effects import standard_error, values_of
from unshaken.papers.rows import Flags, Numbers, Rows
from unshaken_papers.web_noise_lsa import ARMS, CONTROL, WebNoisePaper

THRESHOLD = 0.95
"""Posterior of a large loss above which the official code flags an image."""
PAIRS = (("linear", "small-loss"), ("alternate", "small-loss"), ("alternate", "linear"))
"""Arms whose accuracies are compared."""


def figures(paper: WebNoisePaper, rows: Rows) -> dict[str, Any]:
    """Accuracy and detection in each seed, their differences over seeds, and detection on random partitions."""
    seeds = {name: detection(part) | accuracy(part) for name, part in rows.repetitions(paper.seeds).items()}
    control = rows.within(CONTROL).repetitions(paper.control_seeds)
    of = partial(values_of, list(seeds.values()))
    area = {name: of(name, "auroc", "ood") for name in ("linear", "small-loss")}
    over: dict[str, Any] = {"detection": standard_error(area["linear"] - area["small-loss"])}
    over["posterior"] = standard_error(of("posterior", "auroc", "ood") - area["small-loss"])
    over["separable"] = standard_error(of("known", "linear") - of("known", "small-loss"))
    for one, other in PAIRS:
        over[f"{one}_minus_{other}"] = standard_error(of("accuracy", one) - of("accuracy", other))
    return {**seeds, CONTROL: {name: detection(part) for name, part in control.items()}, "over_seeds": over}


def accuracy(rows: Rows) -> dict[str, Any]:
    """Accuracy of each arm, on test images of the classes."""
    return {"accuracy": {arm: rows.accuracy(f"{arm}.test") for arm in ARMS}}


def detection(rows: Rows) -> dict[str, Any]:
    """Both detectors against images of no class and against flipped labels, and what the line drops."""
    names = ("kind", "linear", "linear_posterior", "loss", "small_loss", "suspect", "edges")
    kinds, line, posterior, loss, small, suspect, edges = rows.columns("detections", "scores", *names)
    alike = stats.spearmanr(line, loss).statistic if np.ptp(line) else 0.0
    return {
        "linear": one_detector(line, line > 0.5, kinds),
        "small-loss": one_detector(loss, suspect, kinds),
        "posterior": one_detector(posterior, posterior > 0.5, kinds),
        "known": beside_known(rows),
        "suspect": {
            "largest": share_of_none(kinds[suspect]), "posterior": share_of_none(kinds[small > THRESHOLD]),
            "by_posterior": round(float((small > THRESHOLD).mean()), 4), "of_all": share_of_none(kinds),
        },
        "rho": round(float(alike), 4),
        "clean_images": dropped(line > 0.5, kinds == "clean", {"loss": loss, "edges": edges}),
    }  # fmt: skip


def beside_known(rows: Rows) -> dict[str, Any]:
    """AUROC of a line fitted to known images, and of the loss, for images of no class among the others."""
    kinds, known, line, loss = rows.columns("detections", "scores", "kind", "known", "linear_known", "loss")
    clean, none = (~known & (kinds == kind) for kind in ("clean", "ood"))
    ranked = {"linear": line, "small-loss": loss}
    return {name: auroc(score[clean], score[none]).to_json() for name, score in ranked.items()}


def share_of_none(kinds: NDArray[Any]) -> float:
    """The share that is of no class; 0 where there are no images."""
    return round(float((kinds == "ood").mean()), 4) if len(kinds) else 0.0


def one_detector(scores: Numbers, flags: Flags, kinds: NDArray[Any]) -> dict[str, Any]:
    """AUROC of the score, and the share of each kind that is flagged."""
    clean = scores[kinds == "clean"]
    ranked = {n: auroc(clean, scores[kinds == k]).to_json() for n, k in (("ood", "ood"), ("flips", "flip"))}
    flagged = {n: round(float(flags[kinds == n].mean()), 4) for n in ("clean", "ood", "flip")}
    return {"auroc": ranked, "flagged": flagged}


def dropped(line: Flags, clean: Flags, columns: Mapping[str, Numbers]) -> dict[str, Any]:
    """Means of right images that the line drops and of those that it keeps; 0 where there are none."""
    found: dict[str, Any] = {}
    for name, chosen in (("dropped", line & clean), ("kept", ~line & clean)):
        means = {n: float(v[chosen].mean()) if chosen.any() else 0.0 for n, v in columns.items()}
        found[name] = {n: round(mean, 4) for n, mean in means.items()}
    return found
