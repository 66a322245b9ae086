"""Rows of scores and of the answers behind a detector, by hand; detectors that changed since a run began."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.core import Batch
from unshaken.core.errors import RunError
from unshaken.core.part import Condition
from unshaken.detect.engine.detector_set import digest
from unshaken.detect.engine.rows import answers, detectors_of, joined, scores
from unshaken.detect.engine.screen import DetectorScores, FittedDetector
from unshaken.detect.scores.msp import MSP

CONDITION = Condition("msp", "screening")
LOGITS = torch.tensor([[math.log(4), 0.0], [0.0, math.log(3)], [0.0, 1.0], [1.0, 0.0]])
LABELS = torch.tensor([0, 0, 1, 0])
IMAGES = torch.arange(4.0).view(4, 1, 1, 1)
VALUES = torch.tensor([1.0, 2.0, 2.5, torch.nan]).double()
SCORED = DetectorScores(VALUES, torch.arange(4), torch.arange(4) + 4, torch.arange(4).double() / 8)


def batch(labels=LABELS):
    return Batch(IMAGES, labels, tuple("abcd"))


def test_a_score_at_the_threshold_is_accepted_and_one_that_is_no_number_is_an_error():
    part = scores(CONDITION, "msp-2", batch(), SCORED, split="normal", threshold=2.0, logits=LOGITS)
    columns = {k: list(v) for k, v in part.columns.items()}
    assert columns == {
        "id": list("abcd"),
        "detector": ["msp-2"] * 4,
        "split": ["normal"] * 4,
        "prediction": [0, 1, 1, 0],
        "score": [1.0, 2.0, 2.5, None],
        "accepted": [True, True, False, None],
        "forwards": [0, 1, 2, 3],
        "backwards": [4, 5, 6, 7],
        "seconds": [0, 0.125, 0.25, 0.375],
        "error": [None, None, None, "the score is nan"],
        "label": [0, 0, 1, 0],
    }
    assert (part.table, part.condition) == ("scores", CONDITION)
    assert (
        "label"
        not in scores(CONDITION, "msp", batch(None), SCORED, split="normal", threshold=2.0, logits=LOGITS).columns
    )


def test_splits_of_one_condition_are_joined_in_order():
    one, two = (
        scores(CONDITION, "msp", batch()[:n], SCORED[:n], split=split, threshold=2.0, logits=LOGITS[:n])
        for n, split in ((1, "normal"), (2, "far/x"))
    )
    found = joined([one, two])
    assert found.columns["split"] == ["normal", "far/x", "far/x"]
    assert found.columns["id"] == ["a", "a", "b"]
    assert (found.table, found.condition) == ("scores", CONDITION)


def test_an_answer_behind_a_detector_is_class_k_where_the_sample_is_turned_away():
    """Confidence is that of the softmax, or the share of the normal scores 0, 1, 2, 3 that are lower."""
    fitted = FittedDetector(MSP(), {}, torch.arange(4.0).double())
    part = answers(CONDITION, batch(), SCORED, fitted, 2.0, LOGITS, looks=[1, 1, 1, 1])
    assert part.columns["prediction"].tolist() == [0, 1, 2, 2]
    assert part.columns["confidence"].tolist() == pytest.approx([0.8, 0.75, 0.75, 1.0])
    assert part.columns["correct"].tolist() == [True, False, False, False]
    assert part.columns["label"].tolist() == LABELS.tolist()
    assert part.columns["looks"] == [1, 1, 1, 1]
    assert part.images(torch.tensor([2])).item() == 2
    assert "correct" not in answers(CONDITION, batch(None), SCORED, fitted, 2.0, LOGITS).columns


def test_without_normal_scores_no_share_of_them_is_lower():
    fitted = FittedDetector(MSP(), {}, torch.zeros(0).double())
    assert answers(CONDITION, batch(), SCORED, fitted, -1.0, LOGITS).columns["confidence"].tolist() == [0] * 4


def test_detectors_that_changed_since_a_run_began_are_refused(fitted, tmp_path):
    fitted.save(tmp_path / "d")
    known, model = digest(tmp_path / "d"), fitted.detector_set.model
    assert len(known) == 32
    found = detectors_of(str(tmp_path / "d"), known, model, lambda key, make: make())
    assert list(found.detectors) == list(fitted.detector_set.detectors)
    fitted.detector_set.only("msp").save(tmp_path / "d")
    assert digest(tmp_path / "d") != known
    with pytest.raises(RunError, match="the detectors are not those that the run began with"):
        detectors_of(str(tmp_path / "d"), known, model, lambda key, make: make())
