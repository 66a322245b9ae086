"""Confident learning: as many labels are flagged as the confident counts say are wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.labels.engine.confident_joint import (
    NOWHERE,
    ConfidentJoint,
    keep_one,
    lowest,
    prune_by_class,
    prune_by_noise_rate,
)
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores
from unshaken.labels.engine.probabilities import TIE
from unshaken.measure.statistics.columns import Flags

Filter = Literal[
    "prune-by-noise-rate",
    "prune-by-class",
    "both",
    "confident-learning",
    "predicted-neq-given",
    "low-normalized-margin",
    "low-self-confidence",
]


@register("confident-learning", reference="Northcutt, Jiang & Chuang 2021, arXiv:1911.00068")
class ConfidentLearning(Finder):
    """Estimate how many labels of each class are wrong, and flag as many.

    Filters: `prune-by-noise-rate` flags, for each pair of given and other class, as many as were counted, those with
    the largest `p[other] - p[given]`; `prune-by-class`, for each given class, those with the lowest `p[given]`; `both`,
    what the two agree on; `confident-learning`, what is confidently of another class; `predicted-neq-given`, what is
    predicted otherwise; `low-...`, the lowest scores, as many as are confidently of another class. None but the last
    two flags a label that the model predicts.
    """

    filter: Filter = Field(default="prune-by-noise-rate", description="rule by which labels are flagged")
    rank: Literal["normalized-margin", "self-confidence"] = Field(
        default="normalized-margin", description="score of labels"
    )
    resolve: Literal["probability", "confident", "excess"] = Field(
        default="probability",
        description="rule for a sample that is confidently of several classes; see `confident_joint`",
    )

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        summary, joint = evidence.summary(), evidence.confident(self.resolve)
        flagged = _FILTERS[self.filter](evidence, joint)
        if not self.filter.startswith("low-"):
            flagged = flagged & (summary.margin + TIE < 0)
        score = summary.own if self.rank == "self-confidence" else (summary.margin + 1) / 2
        figures = {"noise_rate": joint.noise_rate, "joint": joint.joint.tolist()}
        suggested = np.where(_confident(evidence, joint), joint.confident, summary.best)
        return LabelScores(score, suggested, flagged, figures)


def _by_noise_rate(evidence: Evidence, joint: ConfidentJoint) -> Flags:
    return prune_by_noise_rate(evidence.need_probabilities(), evidence.labels, keep_one(joint.counts))


def _by_class(evidence: Evidence, joint: ConfidentJoint) -> Flags:
    return prune_by_class(evidence.summary().own, evidence.labels, keep_one(joint.counts))


def _confident(evidence: Evidence, joint: ConfidentJoint) -> Flags:
    return np.asarray((joint.confident != NOWHERE) & (joint.confident != evidence.labels), bool)


def _issues(evidence: Evidence, joint: ConfidentJoint) -> int:
    """How many labels are confidently of another class, and not predicted."""
    return int((_confident(evidence, joint) & (evidence.summary().margin + TIE < 0)).sum())


_FILTERS: Mapping[str, Callable[[Evidence, ConfidentJoint], Flags]] = {
    "prune-by-noise-rate": _by_noise_rate,
    "prune-by-class": _by_class,
    "both": lambda evidence, joint: _by_noise_rate(evidence, joint) & _by_class(evidence, joint),
    "confident-learning": _confident,
    "predicted-neq-given": lambda evidence, joint: np.asarray(evidence.summary().best != evidence.labels, bool),
    "low-normalized-margin": lambda evidence, joint: lowest(evidence.summary().margin, _issues(evidence, joint)),
    "low-self-confidence": lambda evidence, joint: lowest(evidence.summary().own, _issues(evidence, joint)),
}
