"""Layers of a model that detectors read, and features and probabilities of images of any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.detect.engine.anatomy import Anatomy, as_seen, penultimate, predicted
from unshaken.models import load_model


def test_the_head_is_the_linear_layer_that_gives_the_logits(toy):
    found = Anatomy.of(toy, torch.rand(3, 3, 4, 4))
    assert (found.head, found.classes, found.penultimate) == ("head", 3, "head:in")
    assert torch.equal(found.weight, torch.eye(3) * 4)
    assert torch.equal(found.bias, torch.zeros(3))
    assert torch.equal(found.read_out(torch.tensor([[1.0, 2.0, 3.0]])), torch.tensor([[4.0, 8.0, 12.0]]).double())


def test_a_linear_layer_before_the_last_word_is_no_head():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Softmax(1))
    found = Anatomy.of(Classifier(net, name="soft").eval(), torch.rand(2, 3, 2, 2))
    assert found.head is None
    with pytest.raises(ModelError, match="'soft' has no linear layer that gives its logits: use a detector"):
        found.penultimate  # noqa: B018
    with pytest.raises(ModelError, match="has no linear layer"):
        found.read_out(torch.zeros(1, 3))


def test_stages_are_the_last_layer_at_each_size():
    found = Anatomy.of(load_model("demo"), torch.rand(2, 1, 28, 28))
    assert found.stages == ("body.0", "body.2", "body")  # 28, 14 and 7 pixels


def test_a_stage_whose_average_the_head_weighs_is_not_counted_twice():
    from unshaken.models.networks.small import SmallCNN

    found = Anatomy.of(Classifier(SmallCNN(), name="pooled").eval(), torch.rand(2, 3, 32, 32))
    assert found.head == "head"
    assert found.stages == ("body.0", "body.2")  # 32 and 16 pixels; the average of the 8 x 8 ones is `head:in`


def test_of_blocks_of_one_size_a_few_are_taken():
    """The last one is left out here, for the head weighs its average."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(4, 4)

        def forward(self, x):
            return self.mix(x)

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(Block() for _ in range(8))
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            x = x.flatten(2).transpose(1, 2)[..., :1].expand(-1, -1, 4)
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean(1))

    found = Anatomy.of(Classifier(Tokens(), name="tokens").eval(), torch.rand(2, 3, 3, 3))
    assert found.stages == ("blocks.1", "blocks.3", "blocks.5")
    assert found.head == "head"


def test_names_of_another_model_are_refused(toy):
    with pytest.raises(ModelError, match="no linear layer 'fc'"):
        Anatomy.named(toy, 3, "fc", ())


def test_the_model_is_left_as_it_was(toy):
    toy.train()
    Anatomy.of(toy, torch.rand(2, 3, 4, 4))
    assert toy.training
    assert not any(m._forward_hooks for m in toy.modules())


class Plain(nn.Module):
    """Six convolutions that keep the size, and a head on the sum over places."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.fourth, self.fifth, self.sixth = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.head = nn.Linear(3, 2, bias=False)

    def forward(self, x):
        for layer in (self.first, self.second, self.third, self.fourth, self.fifth, self.sixth):
            x = layer(x)
        return self.head(x.amax((2, 3)))


def test_of_layers_of_one_size_without_blocks_four_are_taken():
    found = Anatomy.of(Classifier(Plain(), name="plain").eval(), torch.rand(2, 3, 4, 4))
    assert found.stages == ("second", "third", "fourth", "sixth")  # of six the 2nd, 3rd, 4th and last
    assert found.bias.tolist() == [0, 0]


def test_a_model_without_maps_has_no_stages():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    found = Anatomy.of(Classifier(net, name="flat").eval(), torch.rand(2, 3, 2, 2))
    assert (found.stages, found.head, found.classes) == ((), "3", 2)


IMAGES = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_features_are_mean_colours_and_predictions_the_largest(toy):
    features, labels = penultimate(toy, IMAGES, batch_size=2)
    assert features.dtype == torch.float64
    assert torch.allclose(features, IMAGES.mean((2, 3)).double(), atol=1e-6)
    assert torch.equal(labels, IMAGES.mean((2, 3)).argmax(1))


def test_probabilities_are_the_softmax_whatever_the_batches(toy):
    expected = (4 * IMAGES.mean((2, 3))).softmax(1)
    for batch_size in (2, 64):
        assert torch.allclose(predicted(toy, IMAGES, batch_size), expected, atol=1e-6)


def test_images_are_brought_to_the_size_that_a_model_takes(toy):
    viewed = Classifier(toy.net, view=View(2, 2)).eval()
    assert as_seen(IMAGES, toy) is IMAGES
    found = as_seen(IMAGES, viewed)
    assert found.shape == (5, 3, 2, 2)
    assert (float(found.min()) >= 0, float(found.max()) <= 1) == (True, True)
    assert torch.allclose(found.mean((2, 3)), IMAGES.mean((2, 3)), atol=0.1)
    assert penultimate(viewed, IMAGES)[0].shape == (5, 3)


class Average(nn.Module):
    """A convolution, a rectifier by function or by module, and the average of all places."""

    def __init__(self, *, by_function: bool) -> None:
        super().__init__()
        self.conv, self.relu, self.by_function = nn.Conv2d(3, 5, 3), nn.ReLU(), by_function
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        y = self.conv(x)
        y = y.relu() if self.by_function else self.relu(y)
        return self.head(y.mean((2, 3)))


@pytest.mark.parametrize(("by_function", "expected"), [(True, ("conv", True)), (False, ("relu", False))])
def test_the_maps_whose_average_the_head_weighs(by_function, expected):
    torch.manual_seed(0)
    model = Classifier(Average(by_function=by_function).eval(), name="average").eval()
    found = Anatomy.of(model, torch.rand(2, 3, 9, 9))
    assert (found.maps, found.rectified) == expected
