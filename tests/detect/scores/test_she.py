"""Inner product with the stored pattern of the class."""

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.she import SHE

FEATURES = torch.tensor([[1.0, 0], [3, 0], [9, 9], [0, 2]])
LOGITS = torch.tensor([[5.0, 0], [5, 0], [5, 0], [0, 5]])


def fitted(anatomy, labels):
    return SHE().fit(FitData(anatomy, rows={"penultimate": FEATURES, "logits": LOGITS, "labels": torch.tensor(labels)}))


def test_patterns_are_means_of_the_rightly_classified(anatomy):
    assert fitted(anatomy, [0, 0, 1, 1])["patterns"].tolist() == [[2, 0], [0, 2]]


def test_score_is_minus_the_inner_product_of_the_predicted_class(anatomy):
    queries = torch.tensor([[1.0, 4], [1, 4], [-1, 0]])
    forward = ForwardPass(anatomy, torch.tensor([[1.0, 0], [0, 1], [1, 0]]), {"head:in": queries})
    assert SHE().score(forward, fitted(anatomy, [0, 0, 1, 1])).tolist() == [-2, -8, 2]


def test_a_class_without_a_right_sample_has_no_pattern(anatomy):
    assert fitted(anatomy, [0, 0, 0, 0])["patterns"][1].tolist() == [0, 0]


def test_nothing_right_is_refused(anatomy):
    with pytest.raises(DataError, match="she: none of 4 samples is classified rightly"):
        fitted(anatomy, [1, 1, 1, 0])
