import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.explain.engine.probed_metric import area_under_curve, removal_ranks
from unshaken.explain.metrics.deletion import Deletion


@pytest.mark.parametrize(
    ("curve", "area"), [([1, 0.6, 0.3, 0.1, 0], 0.375), ([0, 0.2, 0.5, 0.9, 1], 0.525), ([0.9, 0.9, 0.9], 0.9)]
)
def test_areas_by_hand(curve, area):
    assert area_under_curve(torch.tensor(curve, dtype=torch.float64)).item() == pytest.approx(area, abs=1e-12)


def test_ranks_of_equal_pixels_follow_their_place():
    assert removal_ranks(torch.tensor([[[1.0, 3], [3, 0]]])).tolist() == [[[2, 0], [1, 3]]]


def test_correction_needs_a_probability():
    with pytest.raises(ParameterError, match="use score=probability with corrected=true"):
        Deletion(score="logit", corrected=True)
