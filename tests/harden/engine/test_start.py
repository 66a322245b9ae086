"""The model that training starts from: fresh weights by their seed, SPECs, and a new head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.start import _arch, start_from, with_new_head
from unshaken.models.loaders.from_run import ShapeRecord


def start(spec, seed=0):
    shape = ShapeRecord(classes=3, channels=1, side=28)
    return start_from(
        spec, classes=3, names=("a", "b", "c"), shape=shape, statistics=([0.3], [0.4]), seed=seed, download=False
    )


def test_fresh_weights_follow_from_the_seed_and_leave_the_callers_random_state():
    before = torch.get_rng_state()
    one, same, other = start("small-cnn"), start("new:small-cnn"), start("small-cnn", seed=1)
    assert one.arch == same.arch == "small-cnn"
    assert one.model.classes == ("a", "b", "c")
    assert [float(one.model.mean), float(one.model.std)] == pytest.approx([0.3, 0.4])
    weights = [next(s.model.net.parameters()) for s in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_keeps_its_weights_and_the_name_of_its_architecture():
    found = start("demo")
    assert (found.arch, found.recipes) == ("small", ())
    assert len(found.model.classes) == 10


def test_a_name_that_is_no_architecture_gets_a_near_one():
    with pytest.raises(ParameterError, match="no architecture 'smal', and no model SPEC; did you mean 'small'"):
        start("smal")


def test_a_new_head_keeps_all_other_weights():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2, bias=False))
    model = Classifier(net, mean=[0.1], std=[0.5], name="net")
    body = net[1].weight.clone()
    found = with_new_head(model, 3, ("a", "b", "c"), 0)
    assert found(torch.rand(2, 1, 2, 2)).shape == (2, 3)
    assert torch.equal(found.net[1].weight, body)
    assert found.net[3].bias is None
    assert (found.classes, found.name) == (("a", "b", "c"), "net")
    assert found.mean.flatten().tolist() == pytest.approx([0.1])


def test_a_net_without_a_linear_layer_has_no_head_to_replace():
    with pytest.raises(ModelError, match="has no linear layer to replace"):
        with_new_head(Classifier(nn.Flatten(), name="flat"), 3, ("a", "b", "c"), 0)


@pytest.mark.parametrize(
    ("spec", "arch"),
    [
        ("demo:robust", "small"),
        ("weights:net.safetensors?arch=small-cnn", "small-cnn"),
        ("torchvision:resnet18@IMAGENET1K_V1", "torchvision:resnet18"),
        ("timm:resnet18", "timm:resnet18"),
        ("py:net.py:make", "py:net.py:make"),
    ],
)
def test_what_a_spec_loads_is_kept_under_its_architecture(spec, arch):
    assert _arch(spec) == (arch, ())


def test_a_kind_that_cannot_be_kept_is_told():
    with pytest.raises(ModelError, match="a model of the kind 'onnx' cannot be kept after training"):
        _arch("onnx:net.onnx")
