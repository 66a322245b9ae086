"""Are maps those of captum, torchcam and pytorch-grad-cam, and the coefficients those of lime?

    python benchmarks/attribution_parity.py
    PYTHONPATH=/where/the/peers/are python benchmarks/attribution_parity.py --images 8

Printed: of every method that a peer has, the largest difference of the maps as a share of the largest value of the
peer's, over all images, at batches of 1 and of all; and the reason where maps are not the same. The network is small
(two convolutions, global pooling), with weights from a seed; the images are noise. Peers that scale a map to [0, 1] get
ours scaled likewise. What draws at random is compared with the peer's formula on the same draws, or left out.

Needs captum, torchcam, grad-cam (and ttach), lime (and scikit-image), each for its rows; what is absent is shown so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from _peers import machine
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.rng import SampleRng
from unshaken.explain import attribute
from unshaken.explain.attribution.lime import LIME

SIDE, CLASSES = 32, 5
TILES = (torch.arange(SIDE) // 8)[:, None] * 4 + torch.arange(SIDE) // 8


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        peer: its module.
        title: its name of the method.
        ours: the attribution as text.
        theirs: from the network, images and classes to maps `[N, H, W]`.
        unit: whether the peer scales maps to [0, 1].
        remark: why maps differ, where they do.
    """

    peer: str
    title: str
    ours: str
    theirs: Callable[[Classifier, Tensor, Tensor], Tensor]
    unit: bool = False
    remark: str = ""


def make_net() -> Classifier:
    """Two convolutions and a linear layer on their pooled maps."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES),
    )  # fmt: skip
    return Classifier(net.eval())


def captum(name: str, *, signed: bool = True, **options: Any) -> Callable[[Classifier, Tensor, Tensor], Tensor]:
    """A method of captum; maps are summed over channels, or their absolute values averaged."""

    def run(net: Classifier, images: Tensor, classes: Tensor) -> Tensor:
        method = getattr(importlib.import_module("captum.attr"), name)
        made = method(net, net.net[4]) if name == "LayerGradCam" else method(net)
        found = made.attribute(images.clone().requires_grad_(), target=classes, **options).detach()
        if name == "LayerGradCam":
            return large(found[:, 0])
        if name in ("Occlusion", "FeatureAblation"):
            return found[:, 0]
        return found.sum(1) if signed else found.abs().mean(1)

    return run


def torchcam(name: str) -> Callable[[Classifier, Tensor, Tensor], Tensor]:
    """A method of torchcam, which gives maps in the size of the layer."""

    def run(net: Classifier, images: Tensor, classes: Tensor) -> Tensor:
        with getattr(importlib.import_module("torchcam.methods"), name)(net, "net.4") as method:
            logits = net(images.clone().requires_grad_())
            return large(method(classes.tolist(), logits, normalized=False)[0].detach())

    return run


def grad_cam(name: str) -> Callable[[Classifier, Tensor, Tensor], Tensor]:
    """A method of pytorch-grad-cam, which enlarges by OpenCV and scales to [0, 1]."""

    def run(net: Classifier, images: Tensor, classes: Tensor) -> Tensor:
        package = importlib.import_module("pytorch_grad_cam")
        target = importlib.import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget
        method = getattr(package, name)(net, [net.net[4]])
        with method:
            return torch.from_numpy(method(images, [target(int(c)) for c in classes]))

    return run


def lime(net: Classifier, images: Tensor, classes: Tensor) -> Tensor:
    """Coefficients of lime's own regression on our copies, with its kernel, which is the root of the card's."""
    base, number = importlib.import_module("lime.lime_base"), torch.arange(64)[None]
    method, maps = LIME(), []
    for i, image in enumerate(images):
        present = method.present(SampleRng.of(0, "explain lime", [str(i)]), number, 16)[0]
        shown = present[:, TILES][:, None]
        with torch.no_grad():
            means = F.avg_pool2d(image[None], 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
            scores = net(torch.where(shown, image, means)).softmax(1)
        explainer = base.LimeBase(lambda d: (-(d**2) / 0.25**2).exp().numpy(), random_state=0)
        distance = 1 - present.double().mean(1).sqrt()
        _, local, _, _ = explainer.explain_instance_with_data(
            present.double().numpy(), scores.numpy(), distance, int(classes[i]), 16, feature_selection="none"
        )
        maps.append(torch.tensor([dict(local)[k] for k in range(16)])[TILES].float())
    return torch.stack(maps)


ROWS = (
    Row("captum", "Saliency", "gradient", captum("Saliency", signed=False)),
    Row("captum", "InputXGradient", "input-x-gradient", captum("InputXGradient")),
    Row(
        "captum", "IntegratedGradients", "integrated-gradients:steps=20",
        captum("IntegratedGradients", n_steps=20, method="riemann_middle"),
    ),
    Row("captum", "GuidedBackprop", "guided-backprop:channels=sum", captum("GuidedBackprop")),
    Row("captum", "LayerGradCam", "gradcam", captum("LayerGradCam", relu_attributions=True)),
    Row(
        "captum", "Occlusion", "occlusion:patch=0.25,stride=4,score=logit",
        captum("Occlusion", sliding_window_shapes=(3, 8, 8), strides=(3, 4, 4)),
    ),
    Row(
        "captum", "FeatureAblation", "occlusion:patch=0.25,stride=8,score=logit",
        captum("FeatureAblation", feature_mask=TILES[None, None]),
    ),
    Row("torchcam", "CAM", "cam", torchcam("CAM")),
    Row("torchcam", "GradCAM", "gradcam", torchcam("GradCAM")),
    Row(
        "torchcam", "GradCAMpp", "gradcam-plus-plus", torchcam("GradCAMpp"),
        remark="torchcam 0.5 divides a copy of alpha, so that its alpha is g^2",
    ),
    Row("torchcam", "LayerCAM", "layercam", torchcam("LayerCAM")),
    Row(
        "torchcam", "ScoreCAM", "scorecam", torchcam("ScoreCAM"),
        remark="it stretches masks to [0, 1] before it enlarges them, the paper's code after",
    ),
    Row("pytorch_grad_cam", "GradCAM", "gradcam", grad_cam("GradCAM"), True),
    Row(
        "pytorch_grad_cam", "GradCAMPlusPlus", "gradcam-plus-plus", grad_cam("GradCAMPlusPlus"), True,
        "it adds 1e-6 to alpha's denominator, which is as small here",
    ),
    Row("pytorch_grad_cam", "LayerCAM", "layercam", grad_cam("LayerCAM"), True),
    Row(
        "pytorch_grad_cam", "ScoreCAM", "scorecam", grad_cam("ScoreCAM"), True,
        "it enlarges masks with aligned corners",
    ),
    Row("lime", "LimeBase", "lime:segmentation=grid,segments=16,samples=64", lime),
)  # fmt: skip
"""Every comparison."""


def large(maps: Tensor) -> Tensor:
    """Maps in the size of the images."""
    return F.interpolate(maps[:, None], (SIDE, SIDE), mode="bilinear")[:, 0]


def scaled(maps: Tensor) -> Tensor:
    """The positive part of maps, each scaled to [0, 1]."""
    maps = maps.clamp(min=0)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-12)


def difference(row: Row, net: Classifier, images: Tensor, classes: Tensor, batch: int) -> float:
    """The largest difference of the maps, as a share of the largest value."""
    ids = [str(i) for i in range(len(images))]
    parts = [slice(i, i + batch) for i in range(0, len(images), batch)]
    theirs = torch.cat([row.theirs(net, images[p], classes[p]) for p in parts]) if row.peer != "lime" else row.theirs(
        net, images, classes
    )  # fmt: skip
    ours = torch.cat([attribute(net, images[p], row.ours, classes=classes[p], ids=ids[p]).maps for p in parts])
    if row.unit:
        ours, theirs = scaled(ours), scaled(theirs)
    return float((ours - theirs).abs().max() / theirs.abs().max())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    net = make_net()
    images, classes = torch.rand(chosen.images, 3, SIDE, SIDE), torch.arange(chosen.images) % CLASSES
    print(f"{machine()}; {chosen.images} images of {SIDE} x {SIDE}\n")
    print("| peer | its method | ours | batch 1 | all at once | remark |\n|---|---|---|---|---|---|")
    for row in ROWS:
        try:
            importlib.import_module(row.peer)
        except ImportError as error:
            print(f"| {row.peer} | {row.title} | `{row.ours}` | absent | absent | {error} |")
            continue
        found = [f"{difference(row, net, images, classes, batch):.1e}" for batch in (1, chosen.images)]
        print(f"| {row.peer} | {row.title} | `{row.ours}` | {found[0]} | {found[1]} | {row.remark} |")


if __name__ == "__main__":
    main()
