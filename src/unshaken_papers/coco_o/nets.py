"""The augmentation of styles, and the maps of a pretrained network on scenes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.layer_features import layer_features
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.filters import luma
from unshaken_papers.coco_o.scenes import SIDE

ZOOM = 2
"""How many times larger the pretrained network sees a scene: it has learned from larger objects."""


def jitter_style(images: Tensor, rng: SampleRng) -> Tensor:
    """Colours turned, taken away or inverted, contrast and brightness drawn, blur and noise, each by chance.

    Args:
        images: `[N, 3, H, W]` in [0, 1].
        rng: the samples' streams.
    """
    turn, grey, invert, gain, bright, blur, noise = rng.fresh(7).to(images)[:, :, None, None, None].unbind(1)
    order = (torch.arange(3, device=images.device) + (3 * turn.flatten(1)).long()) % 3
    x = images.gather(1, order[:, :, None, None].expand_as(images))
    x = torch.where(grey < 0.4, luma(x).expand_as(x), x)
    x = torch.where(invert < 0.3, 1 - x, x)
    x = (x - 0.5) * (0.4 + 0.9 * gain) + 0.5 + 0.4 * (bright - 0.5)
    x = torch.where(blur < 0.4, gaussian_blur(x, 1.0), x)
    x = torch.where(noise < 0.3, x + 0.08 * rng.fold("noise").noise(*images.shape[1:]).to(images), x)
    return x.clamp(0, 1)


def maps_of(backbone: Classifier, images: Tensor, layer: str) -> tuple[Tensor, int]:
    """The maps of a layer on enlarged scenes, and the pixels of a scene that a cell of theirs stands for.

    Args:
        backbone: in evaluation mode.
        images: uint8 `[N, 3, 64, 64]`.
        layer: its name.
    """
    large = F.interpolate(images.float(), scale_factor=ZOOM, mode="bilinear", align_corners=False)
    maps = layer_features(backbone, large.round().byte(), [layer], pool="maps", cache=False)[layer]
    return maps, max(1, SIDE // maps.shape[-1])
