"""Top images in a stream, proxies by hand, and channels that are specific or not."""

import math

import pytest
import torch
from torch import nn

from tests.explain.biases.conftest import discs
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError
from unshaken.explain.biases.input_kinds import (
    InputKinds,
    TopImages,
    _findings,
    class_kinds,
    feature_layer,
    mean_distance,
)


def test_the_top_images_of_a_stream_are_those_of_the_whole():
    values = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    top = TopImages.of(3, 5)
    for first in range(0, 40, 7):
        top.add(values[first : first + 7], torch.arange(first, min(first + 7, len(values))))
    assert torch.equal(top.places, values.T.sort(1, descending=True).indices[:, :5])


def test_classes_and_distances_by_hand():
    assert class_kinds(torch.tensor([2, 2, 2])) == (1, 0.0)
    kinds, entropy = class_kinds(torch.tensor([0, 1, 2, 2]))
    assert (kinds, entropy) == (3, pytest.approx(1.5))
    corners = torch.tensor([[1.0, 0], [0, 3], [-2, 0]])
    assert mean_distance(corners) == pytest.approx((math.sqrt(2) * 2 + 2) / 3)
    assert mean_distance(corners[:1]) == 0


def two_channels():
    """Channels that are the mean brightness, and the grain of one pixel."""
    conv = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[1.0, 1, 1], [0.0, 0, 0]])[:, :, None, None])
    return Classifier(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))).eval()


def test_a_channel_specific_for_a_class_has_one_kind(subject, monkeypatch):
    judge = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(768, 3))).eval()
    monkeypatch.setattr("unshaken.explain.biases.input_kinds.load_model", lambda spec: judge)
    found = InputKinds(k=4, judge="anything").find(subject({"m": two_channels()}))
    assert found.arrays["m.0.classes"].tolist() == [1, 3]
    assert found.arrays["m.0.class-entropy"].tolist() == pytest.approx([0, 1.5])
    images = discs()[0].mul(255).round().flatten(1) / 255
    same = torch.arange(0, 12, 3)
    assert float(found.arrays["m.0.distance"][0]) == pytest.approx(mean_distance(images[same]), rel=1e-5)
    assert found.rows["quantity"] == ["classes", "class-entropy", "distance"]
    assert found.figures["classes.m.0"].value == 2
    assert found.forwards == 12


def test_too_few_images_and_a_judge_without_features(subject):
    with pytest.raises(DataError, match="49 images for each channel were asked for, of 12: lower k"):
        InputKinds().find(subject({"m": two_channels()}))
    with pytest.raises(ModelError, match="no linear layer"):
        feature_layer(Classifier(nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())))


@pytest.mark.parametrize(("names", "depths"), [("a", [0]), ("ab", [0, 1]), ("abc", [0, 0.5, 1])])
def test_the_depth_of_a_layer_goes_from_0_to_1(names, depths):
    found = {("m", name): {"classes": torch.tensor([1.0, 3.0])} for name in names}
    rows = _findings(found, {"m": tuple(names)}, 4, 12).rows
    assert rows["depth"] == depths
    assert rows["value"] == [2] * len(names)
