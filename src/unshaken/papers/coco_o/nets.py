"""The detector: a U-Net that marks cores of objects, boxes from its regions, and the augmentation of styles."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from unshaken.core.registry import Method
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import CLASSES, MASKS, Recipe, Step
from unshaken.measure.object_detection.matching import Detections
from unshaken.models.networks.unet import UNet
from unshaken.papers.coco_o.scenes import INSET
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.hsv import luma

unet = partial(UNet, widths=(8, 16, 32))
LEAST = 6
"""Pixels of a region from which it is an object."""


def find_boxes(logits: Tensor) -> list[Detections]:
    """A detection for each connected region of one class, grown from the core to the object.

    Args:
        logits: `[N, K + 1, H, W]`, class 0 for the ground.

    Returns:
        Of each image; the score is the mean probability of the class over the region.
    """
    shares = logits.softmax(1)
    classes = shares.argmax(1).cpu().numpy()
    found = []
    for image, share in zip(classes, shares.double().cpu().numpy(), strict=True):
        boxes, kinds, scores = [], [], []
        for kind in range(1, len(share)):
            regions, _ = ndimage.label(image == kind)
            for number, (rows, columns) in enumerate(ndimage.find_objects(regions), 1):
                inside = regions[rows, columns] == number
                if inside.sum() < LEAST:
                    continue
                down, across = (INSET / (1 - 2 * INSET) * (s.stop - s.start) for s in (rows, columns))
                boxes.append([columns.start - across, rows.start - down, columns.stop + across, rows.stop + down])
                kinds.append(kind - 1)
                scores.append(float(share[kind][rows, columns][inside].mean()))
        corners = np.array(boxes, np.float64).reshape(-1, 4)
        found.append(Detections(corners, np.array(kinds, np.int64), np.array(scores, np.float64)))
    return found


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


class StyleJitter(Recipe):
    """Shows every scene in drawn colours, blurred and with noise, by `jitter_style`."""

    info: ClassVar[Method] = Method("style-jitter", "harden", Recipe, "none")
    learns_from: ClassVar[frozenset[str]] = frozenset({CLASSES, MASKS})

    def augment(self, step: Step) -> None:
        """See `jitter_style`."""
        step.images = jitter_style(step.images, step.rng.fold(self.info.name))
