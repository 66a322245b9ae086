"""Exhibits that wrap a network: input changed, noise, logits scaled, doubtful images rejected."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.pixels import through_jpeg
from unshaken.models.museum.exhibit import Random, as_exhibit, base_network, count_classes


def rounded(images: Tensor, bits: int) -> Tensor:
    """Pixels in [0, 1] rounded to `2 ** bits` levels; the gradient is zero.

    >>> rounded(torch.tensor([0.1, 0.3, 0.8]), 1).tolist()
    [0.0, 0.0, 1.0]
    """
    most: int = 2**bits - 1
    return (images * most).round().div(most)


def median_filtered(images: Tensor, side: int) -> Tensor:
    """Each pixel replaced by the median of the `side` x `side` window of which it is the last; borders are mirrored."""
    padded = F.pad(images, (side - 1, 0, side - 1, 0), mode="reflect")
    middle: Tensor = padded.unfold(2, side, 1).unfold(3, side, 1).flatten(4).median(4).values
    return middle


class BitDepth(nn.Module):
    """Feature squeezing by colour depth (Xu et al. 2018): a staircase in front, whose gradient is zero everywhere."""

    def __init__(self, net: nn.Module, bits: int) -> None:
        super().__init__()
        self.net, self.bits = net, bits

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(rounded(images, self.bits))
        return logits


class Jpeg(nn.Module):
    """JPEG compression in front (Guo et al. 2018), by a codec that has no gradient at all."""

    def __init__(self, net: nn.Module, quality: int) -> None:
        super().__init__()
        self.net, self.quality = net, quality

    @override
    def forward(self, images: Tensor) -> Tensor:
        pixels = (images.detach().float() * 255).round().clamp(0, 255).to("cpu", torch.uint8)
        rows = pixels.permute(0, 2, 3, 1).contiguous().numpy()
        for row in rows:
            row[:] = through_jpeg(row, self.quality)
        logits: Tensor = self.net(torch.from_numpy(rows).permute(0, 3, 1, 2).to(images) / 255)
        return logits


class ScaledLogits(nn.Module):
    """Logits multiplied: the same classes, but a softmax so sharp that the cross-entropy's gradient underflows."""

    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images) * self.factor
        return logits


class Noise(Random):
    """Gaussian noise on the image, other in every pass."""

    def __init__(self, net: nn.Module, sigma: float) -> None:
        super().__init__(net)
        self.sigma = sigma

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images + self.sigma * self.drawn(images, *images.shape[1:]))
        return logits


class RandomResize(Random):
    """Random resizing and padding (Xie et al. 2018): each image shrunk by a draw and put at a drawn place on black."""

    def __init__(self, net: nn.Module, least: float) -> None:
        super().__init__(net)
        self.least = least

    @override
    def forward(self, images: Tensor) -> Tensor:
        size, place = self.uniform(images, 1), 2 * self.uniform(images, 2) - 1
        size = self.least + (1 - self.least) * size
        shrink = torch.eye(2).to(images) / size[:, :, None]  # from places in the output to places in the image
        theta = torch.cat([shrink, (-place * (1 - size) / size)[:, :, None]], 2)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        logits: Tensor = self.net(F.grid_sample(images, grid, align_corners=False))
        return logits


class Detector(nn.Module):
    """Feature squeezing (Xu et al. 2018): an image whose answer changes much when it is squeezed is rejected.

    The score is the largest l1 distance between the class probabilities of the image and of a squeezed copy (fewer
    bits, or median filtered). The further class K leads exactly where the score is above the threshold.

    Args:
        net: from images in [0, 1] to logits `[N, K]`.
        threshold: in [0, 2].
        bits: colour depth of one copy.
        side: of the other copy's median windows, in pixels.
    """

    def __init__(self, net: nn.Module, threshold: float, bits: int, side: int) -> None:
        super().__init__()
        self.net, self.threshold, self.bits, self.side = net, threshold, bits, side

    def score(self, images: Tensor, logits: Tensor) -> Tensor:
        """How much squeezing changes the answer, `[N]` in [0, 2]."""
        answer = logits.softmax(1)
        copies = (rounded(images, self.bits), median_filtered(images, self.side))
        return torch.stack([(answer - self.net(copy).softmax(1)).abs().sum(1) for copy in copies]).amax(0)

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Images `[N, C, H, W]` in [0, 1] to logits `[N, K + 1]`."""
        logits = self.net(images)
        alarm = logits.amax(1) + self.score(images, logits) - self.threshold
        return torch.cat([logits, alarm[:, None]], 1)


def bit_depth(net: Classifier | None = None, *, bits: int = 3) -> Classifier:
    """Input rounded to 3 bits: no gradient reaches the image, while the step of 1/7 is hardly wider than the attack.

    Args:
        net: what to put the defence before; default `demo:standard`.
        bits: colour depth.
    """
    base = base_network(net)
    return as_exhibit(BitDepth(base, bits), base, "bit_depth")


def jpeg(net: Classifier | None = None, *, quality: int = 75) -> Classifier:
    """Input compressed as JPEG by an ordinary codec: gradients stop at the 8-bit pixels.

    Args:
        net: as for `bit_depth`; of 1 or 3 channels.
        quality: 1 to 100.
    """
    base = base_network(net)
    return as_exhibit(Jpeg(base, quality), base, "jpeg")


def distilled(net: Classifier | None = None, *, temperature: float = 40.0) -> Classifier:
    """Logits times 40, as defensive distillation at temperature 40 leaves them (Papernot et al. 2016).

    Args:
        net: as for `bit_depth`.
        temperature: T of the distillation.
    """
    base = base_network(net)
    return as_exhibit(ScaledLogits(base, temperature), base, "distilled")


def cold(net: Classifier | None = None, *, factor: float = 1000.0) -> Classifier:
    """Logits times 1000: in float32 the cross-entropy's gradient is exactly zero on 96 % of the demo images.

    Args:
        net: as for `bit_depth`.
        factor: the inverse of the temperature.
    """
    base = base_network(net)
    return as_exhibit(ScaledLogits(base, factor), base, "cold")


def noise(net: Classifier | None = None, *, sigma: float = 0.05) -> Classifier:
    """Gaussian noise on the input, other in every pass.

    Args:
        net: as for `bit_depth`.
        sigma: standard deviation, in [0, 1] pixel units.
    """
    base = base_network(net)
    return as_exhibit(Noise(base, sigma), base, "noise")


def random_resize(net: Classifier | None = None, *, least: float = 0.85) -> Classifier:
    """Input shrunk by a random factor and padded at a random place, otherwise in every pass.

    Args:
        net: as for `bit_depth`.
        least: smallest size, as a share of the image's.
    """
    base = base_network(net)
    return as_exhibit(RandomResize(base, least), base, "random_resize")


def detector(net: Classifier | None = None, *, threshold: float = 0.7, bits: int = 3, side: int = 2) -> Classifier:
    """Rejects images that squeezing reads otherwise; examples made on the bare network stand out by that.

    Args:
        net: as for `bit_depth`.
        threshold: largest change of the class probabilities, in l1, that is let through.
        bits: colour depth of the first squeezed copy.
        side: of the second one's median windows, in pixels.
    """
    base = base_network(net)
    return as_exhibit(Detector(base, threshold, bits, side), base, "detector", reject=count_classes(base))
