import torch

from unshaken.explain.attribution.layercam import LayerCAM


def test_two_maps_by_hand():
    outputs = torch.tensor([[[[1.0, 2]], [[3, 1]]]])
    gradient = torch.tensor([[[[0.5, -1]], [[1, 2]]]])
    assert LayerCAM().combine(outputs, gradient).tolist() == [[[3.5, 2]]]
