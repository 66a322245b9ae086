"""`demo`: what comes with the package."""

import pytest
import torch
from safetensors.torch import load_file

import unshaken.models
from unshaken.data.textures import make_plane
from unshaken.explain.textures.tileability import tile_logits
from unshaken.models import check_model, load_model
from unshaken.models.networks.small import SmallNet


def test_standard_is_the_default_and_normalises_as_it_was_trained(images):
    classifier = load_model("demo")
    net = SmallNet()
    net.load_state_dict(load_file(f"{unshaken.models.__path__[0]}/demo/standard.safetensors"))
    net.eval()
    assert torch.allclose(classifier(images), net((images - 0.2860) / 0.3530), atol=1e-5)
    assert classifier.name == load_model("demo:standard").name == "demo:standard"


def test_its_classes_and_view():
    classifier = load_model("demo:standard")
    check_model(classifier, torch.zeros(2, 1, 28, 28))
    assert classifier.classes[0] == "T-shirt/top"
    assert classifier.classes[9] == "Ankle boot"
    assert (classifier.input_size, classifier.view.channels) == ((28, 28), 1)


def test_the_two_are_different_networks(images):
    standard, robust = load_model("demo:standard"), load_model("demo:robust")
    assert not torch.allclose(standard(images), robust(images))


@pytest.mark.parametrize("name", ["tile-net", "tile-judge"])
def test_networks_of_textures_tell_whole_periods_from_cuts(name):
    """A whole period of a plane tiles, half of one does not; of 20 made textures of two families 17 are right."""
    model = load_model(f"demo:{name}")
    assert (model.classes, model.view.channels) == (("broken", "tileable"), 3)
    assert all(value.isfinite().all() for value in model.net.state_dict().values())
    planes = [torch.from_numpy(make_plane(family, 128, seed)) for family in ("cells", "stripes") for seed in range(5)]
    whole = torch.stack([plane.expand(3, -1, -1) for plane in planes])
    broken = torch.nn.functional.interpolate(whole[..., :64, :64], (128, 128), mode="bilinear")
    right = (tile_logits(model, whole) > 0).sum() + (tile_logits(model, broken) < 0).sum()
    assert int(right) >= 17
