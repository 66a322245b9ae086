import pytest
import torch

from unshaken.explain.engine.attribution import score_of


@pytest.mark.parametrize(
    ("score", "expected"), [("logit", 2.0), ("probability", 0.880797), ("log-probability", -0.126928)]
)
def test_the_scores_of_a_class_by_hand(score, expected):
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert score_of(logits, torch.tensor([0, 1]), score).tolist() == pytest.approx([expected] * 2, abs=1e-6)


def test_several_points_a_sample():
    logits = torch.arange(12.0).view(2, 3, 2)
    assert score_of(logits, torch.tensor([[0, 1, 0], [1, 1, 1]]), "logit").tolist() == [[0, 3, 4], [7, 9, 11]]
