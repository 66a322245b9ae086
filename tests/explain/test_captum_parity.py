"""Maps equal those of captum, at any batch."""

import pytest
import torch
import torch.nn.functional as F

from unshaken.explain.engine.run import attribute

captum = pytest.importorskip("captum.attr")

TILES = (torch.arange(20) // 4)[:, None] * 4 + torch.arange(16) // 4


def saliency(net, x, classes):
    return captum.Saliency(net).attribute(x.requires_grad_(), target=classes).mean(1)


def input_x_gradient(net, x, classes):
    return captum.InputXGradient(net).attribute(x.requires_grad_(), target=classes).sum(1)


def integrated_gradients(net, x, classes):
    method = captum.IntegratedGradients(net)
    return method.attribute(x, 0 * x, target=classes, n_steps=10, method="riemann_middle").sum(1)


def guided_backprop(net, x, classes):
    with pytest.warns(UserWarning, match="backward hooks"):
        return captum.GuidedBackprop(net).attribute(x.requires_grad_(), target=classes).sum(1)


def layer_grad_cam(net, x, classes):
    small = captum.LayerGradCam(net, net.net[4]).attribute(x, target=classes, relu_attributions=True)
    return F.interpolate(small, (20, 16), mode="bilinear")[:, 0]


def occlusion(net, x, classes):
    found = captum.Occlusion(net).attribute(x, (3, 4, 4), (3, 2, 2), 0.0, target=classes, perturbations_per_eval=16)
    return found[:, 0]


def feature_ablation(net, x, classes):
    return captum.FeatureAblation(net).attribute(x, target=classes, feature_mask=TILES[None, None])[:, 0]


@pytest.mark.parametrize("count", [1, 7, 64])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (saliency, "gradient"),
        (input_x_gradient, "input-x-gradient"),
        (integrated_gradients, "integrated-gradients:steps=10"),
        (guided_backprop, "guided-backprop:channels=sum"),
        (layer_grad_cam, "gradcam"),
        (occlusion, "occlusion:patch=0.25,stride=2,score=logit"),
        (feature_ablation, "occlusion:patch=0.25,stride=4,score=logit"),
    ],
)
def test_captum_agrees(conv, theirs, ours, count):
    images, classes = torch.rand(count, 3, 20, 16, generator=torch.Generator().manual_seed(2)), torch.arange(count) % 5
    expected = theirs(conv, images.clone(), classes).detach()
    assert expected.abs().max() > 1e-3
    assert torch.allclose(attribute(conv, images, ours, classes=classes).maps, expected, atol=1e-5)
