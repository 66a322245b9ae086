import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.explain.attribution.centre_point import CentrePoint


def test_it_falls_from_the_middle_to_the_corners():
    found = CentrePoint().draw(torch.zeros(2, 3, 3, 5), SampleRng.of(0, "centre", ["a", "b"]))
    assert found.shape == (2, 3, 5)
    assert found[0, 1].tolist() == pytest.approx([1 - 2 / 5**0.5, 1 - 1 / 5**0.5, 1, 1 - 1 / 5**0.5, 1 - 2 / 5**0.5])
    assert found[0, 0, 0].item() == pytest.approx(0, abs=1e-6)
    assert found[1].flatten().argmax() == 7
