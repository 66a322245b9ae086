"""Figures of the experiment with CrossMax, from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken.measure import compare
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Numbers, Rows, mean_of, share_of
from unshaken_papers.crossmax_ensemble import EPS, SYSTEM_EPS, VOTES, CrossMaxPaper

WAYS = ("bare", "direct", "mean", "unsubtracted", "onward", "naive", "adaptive")


def figures(paper: CrossMaxPaper, rows: Rows) -> dict[str, Any]:
    """By seed: clean, by radius, and how many logits get a gradient. Over seeds and images: what is compared."""
    parts, found = rows.repetitions(paper.seeds), dict[str, Any]()
    for seed, part in parts.items():
        found[seed] = seed_figures(part)
        if "system.plain.clean" in part.labels():
            found[seed]["system"] = system_figures(part.within("system"))
    return found | {"over_seeds": {f"eps-{e}": compared(list(parts.values()), e, eps) for e, eps in EPS.items()}}


def compared(seeds: Sequence[Rows], label: str, eps: float) -> dict[str, Any]:
    """Differences of votes at a radius over seeds, on the images that all of them are shown."""

    def right(condition: str) -> Numbers:
        return np.stack([part.shares(f"{condition}-{label}") for part in seeds])

    direct = {vote: right(f"{vote}.on-{vote}") for vote in VOTES}
    more, kept = direct["crossmax"] - direct["mean"], right("crossmax.on-mean") - direct["mean"]
    best = np.stack([part.shares(f"adaptive-{label}.adaptive-linf-{eps:.6g}") for part in seeds])
    return {
        "advantage_direct": across_seeds(more),
        "advantage_transfer": across_seeds(kept),
        "lost_beyond_half": across_seeds(more / 2 - kept, low=-1.5, high=1.5),
        "second_subtraction": across_seeds(direct["crossmax"] - direct["no-second"]),
        "broken_beyond_half": across_seeds(direct["crossmax"] / 2 - best, high=0.5),
    }


def system_figures(rows: Rows) -> dict[str, Any]:
    """Figures of the whole system; answers are means over repeated passes, under AutoAttack that of most passes."""
    at = f"linf-{SYSTEM_EPS:.6g}"
    ways = [w.removeprefix("adaptive.").removesuffix(f"-{at}") for w in rows.labels("looks")]
    return {
        "clean": passes(rows, "adaptive.clean"),
        "autoattack": rows.accuracy(f"vote-{at}"),
        "under": {way: passes(rows, f"adaptive.{way}-{at}") for way in ways if way != "clean"},
        "plain": {"clean": rows.accuracy("plain.clean"), "attacked": rows.accuracy(f"plain-{at}")},
    }


def passes(rows: Rows, label: str) -> dict[str, Any]:
    """The mean over images of the share of right passes."""
    found = rows.table("looks", label)
    return mean_of(found["right"].to_numpy() / found["looks"].to_numpy(), low=0.0, high=1.0)


def seed_figures(rows: Rows) -> dict[str, Any]:
    """The figures of one seed."""
    members = [label for label in rows.labels() if label.startswith("member-")]
    clean: dict[str, Any] = {vote: rows.accuracy(f"{vote}.clean") for vote in VOTES}
    clean["member"] = [round(float(rows.correct(label).mean()), 4) for label in members]
    attacked = {f"attacked-{e}": reach(rows, f"on-crossmax-{e}") for e in EPS}
    return {
        "clean": clean,
        "gradients": {"clean": reach(rows, "clean"), **attacked},
        **{f"eps-{label}": radius(rows, label, eps) for label, eps in EPS.items()},
    }


def radius(rows: Rows, label: str, eps: float) -> dict[str, Any]:
    """Each vote under its own attack, the pairs, and the honest attack."""
    direct = {vote: rows.correct(f"{vote}.on-{vote}-{label}") for vote in VOTES}
    on_mean, on_cross = rows.correct(f"crossmax.on-mean-{label}"), rows.correct(f"mean.on-crossmax-{label}")
    return {
        "direct": {vote: share_of(right) for vote, right in direct.items()},
        "crossmax_on_examples_of_mean": share_of(on_mean),
        "mean_on_examples_of_crossmax": share_of(on_cross),
        "advantage_direct": compare(direct["mean"], direct["crossmax"]).difference.to_json(),
        "advantage_transfer": compare(direct["mean"], on_mean).difference.to_json(),
        "second_subtraction": compare(direct["no-second"], direct["crossmax"]).difference.to_json(),
        "crossmax_under": {way: rows.accuracy(f"adaptive-{label}.{way}-linf-{eps:.6g}") for way in WAYS},
    }


def reach(rows: Rows, label: str) -> dict[str, Any]:
    """The mean number of logits that get a gradient, the number of all, and the share of ties."""
    reached, logits, tied = rows.columns("logit_gradients", label, "reached", "logits", "tied")
    return {
        "logits_reached": mean_of(reached.astype(float), low=0.0, high=float(logits[0])),
        "of": int(logits[0]),
        "tied": share_of(tied),
    }
