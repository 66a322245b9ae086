"""One pass for all, pieces that fit, and scores that are no numbers."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import pytest
import torch

from unshaken.core import Batch, Oracle
from unshaken.core.errors import DataError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.screen import FittedDetector, check_scores, screen
from unshaken.detect.scores.energy import Energy
from unshaken.detect.scores.knn import KNN
from unshaken.detect.scores.msp import MSP


def test_many_detectors_cost_one_pass(toy):
    images = torch.rand(10, 3, 4, 4)
    anatomy, none = Anatomy.of(toy, images), torch.zeros(0)
    bank = KNN(k=2).fit(FitData(anatomy, rows={"penultimate": torch.rand(20, 3)}))
    fitted = {
        "msp": FittedDetector(MSP(), {}, none),
        "energy": FittedDetector(Energy(), {}, none),
        "knn": FittedDetector(KNN(k=2), bank, none),
    }
    oracle = Oracle(toy, limit=4)
    found = screen(fitted, anatomy, Batch(images, None, tuple("abcdefghij")), oracle)
    assert (oracle.meter.forwards, oracle.meter.backwards, oracle.meter.largest_batch) == (10, 0, 4)
    assert all(len(s.score) == 10 for s in found.values())
    with torch.no_grad():
        assert torch.allclose(found["energy"].score, -toy(images).double().logsumexp(1), atol=1e-5)


def test_the_time_of_a_pass_is_shared_by_its_samples(toy, monkeypatch):
    """A clock that moves on by one second at each look: two looks a detector and piece."""
    ticks = count()
    monkeypatch.setattr("unshaken.detect.engine.screen.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    images = torch.rand(5, 3, 4, 4)
    fitted = {"msp": FittedDetector(MSP(), {}, torch.zeros(0))}
    found = screen(fitted, Anatomy.of(toy, images), Batch(images, None, tuple("abcde")), Oracle(toy, limit=4))["msp"]
    assert found.seconds.tolist() == [0.25] * 4 + [1.0]


def test_a_score_that_is_no_number_names_its_sample():
    check_scores("knn", torch.tensor([1.0, -2.0]), ["a", "b"])
    with pytest.raises(DataError, match="knn: the score of sample 'b' is nan, and 1 more"):
        check_scores("knn", torch.tensor([1.0, torch.nan, torch.inf]), ["a", "b", "c"])
