import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.explain.attribution.cam import CAM
from unshaken.explain.engine.run import attribute


def test_the_cards_case_by_hand():
    outputs = torch.tensor([[[1.0, 2], [3, 4]], [[4, 0], [1, 1]]])[None]
    gradient = (torch.tensor([1.0, -1]) / 4).view(1, 2, 1, 1).expand_as(outputs)
    assert CAM().combine(outputs, gradient).tolist() == [[[-3, 2], [2, 3]]]


def test_it_is_the_linear_layer_on_the_maps(conv, images):
    classes = torch.arange(7) % 5
    outputs = conv.features(images, ["4"])[1]["4"]
    weights = conv.net[7].weight[classes]
    expected = torch.einsum("nd,ndhw->nhw", weights, outputs)
    expected = torch.nn.functional.interpolate(expected[:, None], (20, 16), mode="bilinear")[:, 0]
    assert torch.allclose(attribute(conv, images, "cam", classes=classes).maps, expected.detach(), atol=1e-5)


def test_a_net_of_another_form_is_told(images):
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 20 * 16, 3))
    with pytest.raises(ModelError, match="cam: after the layer '0' come more than global average pooling"):
        attribute(Classifier(net), images, "cam")
