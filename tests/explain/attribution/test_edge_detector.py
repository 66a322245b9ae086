import torch

from unshaken.core.rng import SampleRng
from unshaken.explain.attribution.edge_detector import EdgeDetector


def test_a_step_by_hand():
    """Beside a step of height 1 Sobel's gradient is 4, inside and at the border; far from it 0."""
    image = torch.zeros(1, 3, 4, 6)
    image[..., 3:] = 1
    found = EdgeDetector().draw(image, SampleRng.of(0, "edges", ["a"]))
    assert found.tolist() == [[[0, 0, 4, 4, 0, 0]] * 4]
