"""Entries of `labels.json`: finders, the sample to review, and the estimated share of wrong labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, model_validator

from unshaken.core.documents import validate
from unshaken.core.errors import DataError, RunError
from unshaken.core.package import public
from unshaken.labels.engine.finder import Evidence, LabelScores
from unshaken.labels.engine.known_truth import judge_scores
from unshaken.labels.engine.review_sample import (
    ReviewSample,
    check_verdicts,
    draw_review,
    read_verdicts,
)
from unshaken.labels.engine.wrong_share import WrongShare, estimate_wrong_share
from unshaken.measure import Figure, share
from unshaken.measure.statistics.columns import Indices
from unshaken.store.run_dir import RunDir

RECORD = "labels.json"
"""File of a search with its settings and, at its end, its results."""

METHOD = "lapse rate to disagreement 95%"
"""The interval of the share of wrong labels."""
COUNTED = ("joint", "noise_rate")
"""Figures of a finder that no interval goes with."""
OF_OTHERS = ("run.json", "harden.json", "explain.json", "report.html")
"""Files that the directory of another command has."""


def refuse_others(run: RunDir) -> None:
    """Refuse the directory of another command, whose report would be overwritten.

    Args:
        run: a directory without a record of a search.

    Raises:
        RunError: it holds something.
    """
    if other := next((name for name in OF_OTHERS if run.exists(name)), None):
        raise RunError(f"{run}: holds {other!r} of another command; choose another --out")


def read_record(run: RunDir) -> dict[str, Any]:
    """Read `labels.json`, which is there.

    Raises:
        RunError: it is damaged.
    """
    record = run.read_json(RECORD)
    if not isinstance(record, dict):
        raise RunError(
            f"{run}: {RECORD} is damaged (a {type(record).__name__}, not a table); search again in a new --out"
        )
    return record


class ReviewRecord(BaseModel):
    """The sample to review, as `labels.json` keeps it.

    Args:
        ids: of the samples.
        strata: the stratum of each.
        sizes: samples in each stratum.
    """

    ids: list[str] = Field(min_length=1)
    strata: list[NonNegativeInt]
    sizes: list[PositiveInt]

    @model_validator(mode="after")
    def _fits(self) -> ReviewRecord:
        if len(self.strata) != len(self.ids) or max(self.strata) >= len(self.sizes):
            raise ValueError("ids, strata and sizes do not fit one another")
        return self


def record_of(found: Mapping[str, LabelScores], evidence: Evidence, true: Indices | None) -> dict[str, Any]:
    """The keys `agreement`, `estimate`, `known_wrong` and `found`.

    Args:
        found: name of a finder to its scores.
        evidence: what they were given.
        true: the true labels, int `[N]`, -1 where unknown; None where none is known.
    """
    estimate = estimate_wrong_share(evidence.summary(), evidence.labels)
    return {
        "agreement": _agreement(evidence, estimate),
        "estimate": {"low": estimate.low, "high": estimate.high, "usable": estimate.is_usable, "interval": METHOD},
        "known_wrong": _known_wrong(evidence, true),
        "found": {name: _figures(one, evidence, estimate, true) for name, one in found.items()},
    }


def drawn_record(found: LabelScores, ids: Sequence[str], size: int, seed: int) -> dict[str, Any] | None:
    """The sample to review, as `labels.json` keeps it; None where none is wanted.

    Args:
        found: by whose scores the samples are drawn.
        ids: of all samples.
        size: samples to draw, all where there are fewer.
        seed: of the draws.
    """
    if not size:
        return None
    sample = draw_review(found.score, min(size, len(ids)), seed=seed)
    return {
        "ids": [ids[i] for i in sample.indices],
        "strata": sample.strata.tolist(),
        "sizes": sample.sizes.tolist(),
    }


def _figures(found: LabelScores, evidence: Evidence, estimate: WrongShare, true: Indices | None) -> dict[str, Any]:
    """Entry of a finder in `labels.json`, and how right it is where the true labels are known.

    A finder's own count of wrong labels is left out: it has no interval.
    """
    flagged = None if found.flagged is None else int(found.flagged.sum())
    expected = None
    if found.flagged is not None and flagged and estimate.is_usable:
        low, high = estimate.expect_wrong(found.flagged)
        expected = {"low": low, "high": high}
    figures = {k: v for k, v in found.figures.items() if k not in COUNTED}
    judged = {} if true is None else judge_scores(found, evidence.labels, true)
    known = {"judged": {name: figure.to_json() for name, figure in judged.items()}} if judged else {}
    return {"flagged": flagged, "expected_wrong": expected, **figures, **_pairs(found, evidence), **known}


def _agreement(evidence: Evidence, estimate: WrongShare) -> dict[str, Any]:
    """How often the most probable class is the given label, and how often the largest class would be."""
    largest = np.bincount(evidence.labels).max() / len(evidence)
    return {"predicted": estimate.agreement.to_json(), "largest_class": float(largest)}


def _known_wrong(evidence: Evidence, true: Indices | None) -> dict[str, Any] | None:
    """The share of wrong labels among the examined ones; None where no true label is known."""
    if true is None or not (known := true >= 0).any():
        return None
    return share(int((evidence.labels != true)[known].sum()), int(known.sum())).to_json()


def _pairs(found: LabelScores, evidence: Evidence) -> dict[str, Any]:
    """How often each given class is suspected to be each other one, the most frequent first."""
    if found.flagged is None:
        return {}
    pairs = np.stack([evidence.labels[found.flagged], found.suggested[found.flagged]], 1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {"pairs": [[*map(int, kinds[i]), int(counts[i])] for i in order if kinds[i][0] != kinds[i][1]]}


ESTIMATE = "estimate.json"


@public("labels.estimate_wrong")
def estimate_wrong(run: str | Path | RunDir, verdicts: str | Path | Mapping[str, str]) -> Figure:
    """The share of wrong labels in the whole set, from people's verdicts on the samples drawn for review.

    The drawn samples are in a random order, so that a review may end early: the first ones tell of the whole set, with
    a wider interval (see `ReviewSample.share_so_far`); the figure's `n` is their number. The lower end takes every
    sample that is unclear or was passed over for right, the upper end for wrong; the value leaves half of them.

    Args:
        run: the directory of `find_labels`.
        verdicts: a CSV file with the columns `id` and `verdict`: right, wrong or unclear; or these words by id.

    Raises:
        RunError: there is no finished search with a sample to review.
        DataError: the verdicts cannot be read, or are not those of the first drawn samples.
    """
    folder = run if isinstance(run, RunDir) else RunDir(run)
    drawn = read_record(folder).get("review") if folder.exists(RECORD) else None
    if drawn is None:
        raise RunError(f"{folder}: holds no samples to review; run 'unshaken labels find --review-size N' there first")
    review = validate(ReviewRecord, drawn, f"{folder}: {RECORD}", RunError, "search again in a new --out")
    if isinstance(verdicts, Mapping):
        words = check_verdicts(verdicts, review.ids, "verdicts")
    else:
        words = read_verdicts(verdicts, review.ids)
    sample = ReviewSample(np.arange(len(review.ids)), np.array(review.strata), np.array(review.sizes))
    figure = sample.share_so_far([words.get(name) for name in review.ids])
    if figure is None:
        raise DataError(
            f"{len(words)} of {len(review.ids)} drawn samples have verdicts, and most of the first ones have none: "
            f"review them in the order of {RECORD}, from {review.ids[0]!r} on"
        )
    answers = [words.get(name, "unclear") for name in review.ids[: figure.n]]
    counts = {"verdicts": dict(Counter(answers)), "drawn": len(review.ids)}
    folder.write_json({"wrong": figure.to_json(), **counts}, ESTIMATE)
    return figure


def read_estimate(run: RunDir) -> dict[str, Any] | None:
    """The share of wrong labels with its interval that `estimate_wrong` kept; None where it has not been asked.

    Args:
        run: the directory of `find_labels`.

    Raises:
        RunError: the file is damaged.
    """
    if not run.exists(ESTIMATE):
        return None
    kept = run.read_json(ESTIMATE)
    wrong = kept.get("wrong") if isinstance(kept, dict) else None
    if not isinstance(wrong, dict) or not {"value", "low", "high"} <= wrong.keys():
        raise RunError(f"{run}: {ESTIMATE} is damaged; run 'unshaken labels estimate' again")
    return wrong
