import pytest
import torch

from unshaken.explain.attribution.gradcam_plus_plus import GradCAMPlusPlus


def test_two_places_by_hand():
    """A = (1, 2), g = (1, -1): sum A g^3 = -1, so alpha = 1 / (2 - 1) = 1 and w = 1: the map is A."""
    outputs, gradient = torch.tensor([[[[1.0, 2]]]]), torch.tensor([[[[1.0, -1]]]])
    assert GradCAMPlusPlus().combine(outputs, gradient).tolist() == [[[1, 2]]]


def test_without_any_gradient_the_map_is_empty():
    assert GradCAMPlusPlus().combine(torch.rand(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)).abs().max() == 0


def test_a_constant_gradient_gives_gradcams_map_up_to_a_factor():
    """alpha is the same at all places of a map then; `alpha = 1 / (2 + g sum A)`."""
    outputs = torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    gradient = torch.tensor([0.5, 0.25]).view(1, 2, 1, 1).expand_as(outputs)
    alpha = 1 / (2 + gradient[0, :, 0, 0] * outputs.sum((2, 3))[0])
    expected = ((9 * alpha * gradient[0, :, 0, 0]).view(1, 2, 1, 1) * outputs).sum(1)
    assert GradCAMPlusPlus().combine(outputs, gradient).flatten().tolist() == pytest.approx(
        expected.flatten().tolist(), rel=1e-5
    )
