"""Edge detector: a control that looks at the image and not at the model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.attribution import Control


@register("edge-detector", reference="Adebayo et al. 2018, arXiv:1810.03292")
class EdgeDetector(Control):
    """Edge detector: the size of Sobel's gradient, which looks like an explanation and knows no model."""

    @override
    def draw(self, images: Tensor, rng: SampleRng) -> Tensor:
        """`sqrt(gx^2 + gy^2)` of the mean over channels, with the border's pixels repeated."""
        across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).to(images)
        kernels = torch.stack([across, across.T])[:, None]
        grey = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        return F.conv2d(grey, kernels).square().sum(1).sqrt()
