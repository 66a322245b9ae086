import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.explain.attribution.gradcam import GradCAM
from unshaken.explain.engine.run import attribute

A = torch.tensor([[[1.0, 2], [3, 4]], [[4, 0], [1, 1]]])[None]
WEIGHTS = (1.0, -1.0)


def test_the_cards_case_by_hand():
    """Two maps under global pooling and a linear layer: the gradient is w / 4 at every place."""
    gradient = (torch.tensor(WEIGHTS) / 4).view(1, 2, 1, 1).expand_as(A)
    assert GradCAM().combine(A, gradient).tolist() == [[[0, 0.5], [0.5, 0.75]]]


def test_the_last_layer_with_places_is_found_and_near_names_are_told(conv, images):
    assert GradCAM().prepare(conv, images).layer == "4"
    with pytest.raises(ModelError, match="no layer '44'; did you mean '4'"):
        attribute(conv, images, "gradcam:layer=44")
    with pytest.raises(ModelError, match=r"layer '7' .* gives \[1, 5\], not maps"):
        attribute(conv, images, "gradcam:layer=7")


def test_a_net_without_convolutions_is_told(images):
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 16, 4)))
    with pytest.raises(ModelError, match="has no layer with maps"):
        attribute(flat, images, "gradcam")
