"""Confident learning on ten samples, by hand, and against cleanlab 2.9."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from unshaken.labels import Evidence, Probabilities
from unshaken.labels.engine.confident_joint import confident_classes, round_to_sum
from unshaken.labels.find.confident_learning import ConfidentLearning

P = np.array(
    [
        (0.90, 0.05, 0.05), (0.70, 0.20, 0.10), (0.10, 0.85, 0.05), (0.15, 0.75, 0.10), (0.60, 0.30, 0.10),
        (0.05, 0.90, 0.05), (0.20, 0.10, 0.70), (0.10, 0.15, 0.75), (0.45, 0.15, 0.40), (0.05, 0.55, 0.40),
    ]
)  # fmt: skip
GIVEN = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
FILTERS = {
    "prune-by-noise-rate": {2, 4},
    "prune-by-class": {2, 4},
    "both": {2, 4},
    "confident-learning": {2, 4},
    "low-normalized-margin": {2, 4},
    "low-self-confidence": {2, 4},
    "predicted-neq-given": {2, 4, 8, 9},
}


@pytest.fixture
def ten():
    return Evidence(GIVEN, 3, Probabilities(P))


def test_thresholds_and_counts(ten):
    joint = ten.confident()
    assert joint.thresholds.tolist() == pytest.approx([0.566667, 0.65, 0.5625], abs=1e-6)
    assert joint.raw.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 2]]
    assert joint.counts.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 4]]
    assert joint.joint.sum() == pytest.approx(1)
    assert joint.noise_rate == pytest.approx(0.2)


@pytest.mark.parametrize(("name", "wanted"), FILTERS.items())
def test_flags(ten, name, wanted):
    found = ConfidentLearning(filter=name).find(ten)
    assert set(np.flatnonzero(found.flagged).tolist()) == wanted
    assert found.suggested[[2, 4]].tolist() == [1, 0]


def test_of_several_confident_classes_the_most_probable_or_the_one_in_excess_counts():
    """Of the last row class 0 is the most probable, and below its threshold; 1 and 2 reach theirs, 2 by more."""
    p = np.array([[0.9, 0.05, 0.05], [0.1, 0.2, 0.7], [0.75, 0.15, 0.1], [0.4, 0.25, 0.35]])
    evidence = Evidence(np.array([0, 1, 2, 1]), 3, Probabilities(p))
    assert evidence.confident().thresholds.tolist() == pytest.approx([0.9, 0.225, 0.1])
    assert evidence.confident().confident.tolist() == [0, 2, 2, 0]
    assert evidence.confident("excess").confident.tolist() == [0, 2, 2, 2]


def test_a_class_below_its_threshold_is_never_taken_for_confident():
    """The example of cleanlab's issue 1248: A and C reach their thresholds, C is likelier, and cleanlab takes D."""
    p, thresholds = np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([0.01, 0.5, 0.01, 0.5])
    found = {rule: confident_classes(p, thresholds, rule).tolist() for rule in ("probability", "confident", "excess")}
    assert found == {"probability": [3], "confident": [2], "excess": [2]}
    likelier = np.array([[0.5, 0.1, 0.3, 0.1]]), np.array([0.45, 0.5, 0.01, 0.5])  # A is likelier, C exceeds by more
    assert [confident_classes(*likelier, rule).tolist() for rule in found] == [[0], [0], [2]]


def test_a_class_without_samples_is_never_confident():
    evidence = Evidence(np.array([0, 1]), 3, Probabilities(np.array([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])))
    assert evidence.confident().thresholds[2] == 2
    assert 2 not in evidence.confident().confident


def random_set(seed, n=400, k=7):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(0, 1.2, (n, k))
    shown = np.where(rng.random(n) < 0.3, rng.integers(0, k, n), labels)
    logits[np.arange(n), shown] += 3
    p = np.exp(logits)
    return labels, p / p.sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", FILTERS)
def test_equals_cleanlab(seed, name):
    pytest.importorskip("cleanlab")
    from cleanlab.count import compute_confident_joint, estimate_joint
    from cleanlab.filter import find_label_issues

    labels, p = random_set(seed, k=(2, 3, 7, 40)[seed])
    evidence = Evidence(labels, p.shape[1], Probabilities(p))
    normal = next(evidence.probabilities.blocks())[1]
    found = ConfidentLearning(filter=name).find(evidence)
    theirs = find_label_issues(labels, normal, filter_by=name.replace("-", "_"), n_jobs=1)
    assert np.array_equal(found.flagged, theirs)
    counts = compute_confident_joint(labels, normal, calibrate=True)
    assert np.array_equal(evidence.confident().counts, counts)
    assert np.array_equal(evidence.confident().joint, estimate_joint(labels, normal))


def test_blocks_change_nothing(monkeypatch):
    labels, p = random_set(9)
    whole = ConfidentLearning().find(Evidence(labels, 7, Probabilities(p)))
    for module in ("probabilities", "confident_joint"):
        monkeypatch.setattr(f"unshaken.labels.engine.{module}.BLOCK", 7 * 13)
    parts = ConfidentLearning().find(Evidence(labels, 7, Probabilities(p)))
    assert np.array_equal(whole.flagged, parts.flagged)
    assert np.array_equal(whole.score, parts.score)
    assert whole.figures == parts.figures


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_file_is_not_held(tmp_path, monkeypatch):
    """Of 16 MiB on the disk no more than a few blocks of 1 MiB may stay in memory, whichever way rows are read."""

    def mapped():
        return int(re.search(r"RssFile:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10

    np.save(tmp_path / "p.npy", np.full((1 << 14, 256), 1 / 256, np.float32))
    monkeypatch.setattr("unshaken.labels.engine.probabilities.BLOCK", 1 << 18)
    probabilities, before = Probabilities(np.load(tmp_path / "p.npy", mmap_mode="r")), mapped()
    assert sum(len(block) for _, block in probabilities.blocks()) == 1 << 14
    for start in range(4):
        assert probabilities.rows(np.arange(start, 1 << 14, 4)).sum() == 1 << 12
    assert mapped() - before < 6 << 20


@pytest.mark.parametrize(
    ("values", "whole"), [((0.5, 0.5, 1.0), [0, 1, 1]), ((2.4, 0.35, 0.25), [3, 0, 0]), ((1.6, 1.6, 0.8), [1, 2, 1])]
)
def test_rounding_keeps_the_sum(values, whole):
    found = round_to_sum(np.array(values))
    assert sorted(found.tolist()) == sorted(whole)
    assert found.sum() == round(sum(values))
