"""Divergence from the mean probabilities of each predicted class."""

import pytest
import scipy.stats
import torch

from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.kl_matching import KLMatching, templates

BANK = torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]).log()


def test_templates_are_means_by_predicted_class_and_others_have_none():
    expected = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], dtype=torch.float64)
    assert torch.allclose(templates(BANK).exp(), expected, atol=1e-7)


def test_the_nearest_template_counts(anatomy):
    method = KLMatching()
    bank = method.fit(FitData(anatomy, rows={"logits": BANK}))
    p = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6], [0.3, 0.6, 0.1]])
    expected = [min(scipy.stats.entropy(q, d) for d in ([0.7, 0.2, 0.1], [0.1, 0.8, 0.1])) for q in p.tolist()]
    found = method.score(ForwardPass(anatomy, p.log()), bank)
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.argmax() == 1


def test_probabilities_that_vanish_leave_a_finite_score(anatomy):
    bank = KLMatching().fit(FitData(anatomy, rows={"logits": torch.tensor([[2000.0, 0], [0, 2000]])}))
    found = KLMatching().score(ForwardPass(anatomy, torch.tensor([[2000.0, 0], [1, 1]])), bank)
    assert found.isfinite().all()
    assert found[1] > found[0] == pytest.approx(0, abs=1e-12)
