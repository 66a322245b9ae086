"""Features of layers: pooling by hand, one pass for all layers, and a cache that goes by content."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError
from unshaken.explain.engine.layer_features import layer_features, pooled

IMAGES = torch.randint(0, 256, (70, 1, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Counted(nn.Module):
    """Counts the images that it sees."""

    seen = 0

    def forward(self, x):
        type(self).seen += len(x)
        return x


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path))
    Counted.seen = 0
    torch.manual_seed(0)
    net = nn.Sequential(Counted(), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    return Classifier(net).train()


def test_all_layers_come_from_one_pass_and_are_those_of_the_model(model):
    found = layer_features(model, IMAGES, ["1", "2", "4:in"])
    assert Counted.seen == 70
    with torch.no_grad():
        maps = model.net[1](IMAGES / 255)
    torch.testing.assert_close(found["1"], maps.mean((2, 3)))
    torch.testing.assert_close(found["2"], maps.relu().mean((2, 3)))
    torch.testing.assert_close(found["4:in"], maps.relu().flatten(1))
    assert model.training
    assert not found["1"].requires_grad


def test_what_was_computed_is_not_computed_again(model):
    first = layer_features(model, IMAGES, ["1"])
    again = layer_features(model, IMAGES.clone(), ["1", "2"])  # one layer is there, the other needs a pass
    assert Counted.seen == 140
    layer_features(model, IMAGES, ["2", "1"])
    assert Counted.seen == 140
    assert torch.equal(first["1"], again["1"])


def brighter(model, images):
    return model, images.clamp(min=1)


def heavier(model, images):
    with torch.no_grad():
        model.net[1].weight[0, 0, 0, 0] += 1
    return model, images


def normalised(model, images):
    return Classifier(model.net, mean=[0.5], std=[0.5]), images


@pytest.mark.parametrize("change", [brighter, heavier, normalised])
def test_other_pixels_weights_or_preprocessing_are_computed_anew(model, change):
    before = layer_features(model, IMAGES, ["1"])["1"]
    after = layer_features(*change(model, IMAGES), ["1"])["1"]
    assert Counted.seen == 140
    assert not torch.equal(before, after)


def test_another_pooling_is_computed_anew_and_no_cache_keeps_nothing(model, tmp_path):
    layer_features(model, IMAGES, ["1"], cache=False)
    assert not any(tmp_path.rglob("*.safetensors"))
    shapes = [layer_features(model, IMAGES, ["1"], pool=pool)["1"].shape[1:] for pool in ("mean", "flat", "maps")]
    assert [tuple(s) for s in shapes] == [(4,), (64,), (4, 4, 4)]


def test_pooling_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert pooled(maps, "mean").tolist() == [[3.0]]
    assert pooled(maps, "max").tolist() == [[6.0]]
    assert pooled(maps, "gem").item() == pytest.approx(((1 + 8 + 27 + 216) / 4) ** (1 / 3))
    tokens = torch.tensor([[[1.0, 10.0], [3.0, 20.0]]])
    assert pooled(tokens, "mean").tolist() == [[2.0, 15.0]]


def test_wrong_input_is_refused(model):
    with pytest.raises(DataError, match="uint8"):
        layer_features(model, IMAGES.float(), ["1"])
    with pytest.raises(DataError, match="N at least 1"):
        layer_features(model, IMAGES[:0], ["1"])
    with pytest.raises(ModelError, match="no layer '9'"):
        layer_features(model, IMAGES, ["9"])
