"""Feature squeezing: how far the answer moves when detail that does not matter is taken out of the image."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Logits
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.models.museum import rounded

KINDS = {"bits": 1, "median": 1, "nlm": 3}
"""Squeezers, and how many whole numbers each takes."""


def median(images: Tensor, side: int) -> Tensor:
    """The median over a `side` x `side` window, the upper one of two, border pixels repeated.

    An odd window is centred; an even one reaches one pixel farther to the top and left.

    Args:
        images: `[N, C, H, W]`.
        side: of the window in pixels, 1 or more.
    """
    before, after = side // 2, side - 1 - side // 2
    padded = F.pad(images, (before, after, before, after), mode="replicate")
    windows = padded.unfold(2, side, 1).unfold(3, side, 1).flatten(4)
    return windows.sort(4).values[..., side * side // 2]


def non_local_means(images: Tensor, search: int, patch: int, strength: int) -> Tensor:
    """Each pixel as the mean of others whose surroundings look alike; scikit-image's, without a gradient.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        search: side in pixels of the window that is searched.
        patch: side in pixels of what is compared.
        strength: in units of 1/255.

    Raises:
        ParameterError: scikit-image is absent.
    """
    if importlib.util.find_spec("skimage") is None:
        raise ParameterError(
            "feature-squeezing: the squeezer nlm needs the package scikit-image, which is absent: "
            "pip install scikit-image, or leave nlm out"
        )
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": patch, "patch_distance": search // 2, "h": strength / 255, "channel_axis": -1}
    photos = images.detach().permute(0, 2, 3, 1).cpu().numpy()
    found = np.stack([np.clip(denoise_nl_means(photo, **options), 0, 1) for photo in photos])
    return torch.from_numpy(found).permute(0, 3, 1, 2).to(images)


def squeezer(text: str) -> Callable[[Tensor], Tensor]:
    """A squeezer by its name: `bits-5`, `median-2`, `nlm-13-3-2` (search window, patch, strength).

    Raises:
        ValueError: there is no such one.
    """
    kind, *numbers = text.split("-")
    if KINDS.get(kind) != len(numbers) or not all(n.isascii() and n.isdecimal() and 1 <= int(n) <= 64 for n in numbers):
        raise ValueError(
            f"no squeezer {text!r}: write bits-B, median-K or nlm-SEARCH-PATCH-STRENGTH, numbers from 1 to 64"
        )
    sizes = [int(n) for n in numbers]
    if kind == "bits":
        return lambda images: rounded(images, sizes[0])
    return (lambda images: median(images, sizes[0])) if kind == "median" else lambda i: non_local_means(i, *sizes)


@register("feature-squeezing", reference="Xu et al. 2018, arXiv:1704.01155", needs=("logits",))
class FeatureSqueezing(Detector):
    """Feature squeezing: largest l1 distance between the predictions for an image and for squeezed copies of it.

    The paper takes `bits-5+median-2+nlm-13-3-2` for CIFAR-10 and ImageNet, and `bits-1+median-2` for MNIST. Non-local
    means are in the default no part, for they need scikit-image and take longer than a small network.
    """

    squeezers: tuple[str, ...] = Field(
        default=("bits-5", "median-2"), description="bits-B, median-K, nlm-SEARCH-PATCH-STRENGTH", min_length=1
    )

    @field_validator("squeezers")
    @classmethod
    def _known(cls, squeezers: tuple[str, ...]) -> tuple[str, ...]:
        for text in squeezers:
            squeezer(text)
        return squeezers

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        found = []
        for text in self.squeezers:
            answer = yield Logits(squeezer(text)(forward.pixels))
            moved = required(answer.logits).double().softmax(1)
            found.append((moved - forward.probabilities).abs().sum(1))
        return torch.stack(found, 1).amax(1)
