"""Published defences before the network, rebuilt without training: the image is encoded, repaired or mixed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.data import load_data, stream
from unshaken.models.museum.exhibit import Random, as_exhibit, base_network

POOL = 100
"""Demo images that `mixup` mixes with where none are given."""


class ThermometerCode(nn.Module):
    """Each pixel as `levels` bits of which the lower ones are set: `[N, C, H, W]` to `[N, C * levels, H, W]`."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    @override
    def forward(self, images: Tensor) -> Tensor:
        steps = (torch.arange(self.levels, device=images.device) + 0.5) / self.levels
        return (images[:, :, None] > steps[:, None, None]).to(images).flatten(1, 2)


class ThermometerReader(nn.Module):
    """Reads a thermometer code as the share of its set bits: the fixed linear layer that precedes the network."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    @override
    def forward(self, code: Tensor) -> Tensor:
        n, channels, height, width = code.shape
        read: Tensor = code.view(n, channels // self.levels, self.levels, height, width).mean(2)
        return read


class RandomRepair(Random):
    """A network behind a random repair of the image that no gradient passes, as ordinary image code is."""

    def repair(self, images: Tensor) -> Tensor:
        """RandomRepair images, of the same shape."""
        raise NotImplementedError

    @override
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            repaired = self.repair(images)
        logits: Tensor = self.net(repaired)
        return logits


class PixelDeflection(RandomRepair):
    """Some pixels replaced by a neighbour, then small wavelet coefficients removed (Prakash et al. 2018)."""

    def __init__(self, net: nn.Module, share: float, reach: int) -> None:
        super().__init__(net)
        self.share, self.reach = share, reach

    @override
    def repair(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        chosen = self.uniform(images, 1, height, width) < self.share
        move = ((2 * self.reach + 1) * self.uniform(images, 2, height, width)).long() - self.reach
        rows = (torch.arange(height, device=images.device)[:, None] + move[:, 0]).clamp(0, height - 1)
        columns = (torch.arange(width, device=images.device) + move[:, 1]).clamp(0, width - 1)
        place = (rows * width + columns)[:, None].expand_as(images).flatten(2)
        neighbours = images.flatten(2).gather(2, place).view_as(images)
        return wavelet_denoised(torch.where(chosen, neighbours, images))


def wavelet_denoised(images: Tensor) -> Tensor:
    """One level of Haar wavelets, the details shrunk by BayesShrink (Chang et al. 2000), each image by itself.

    Args:
        images: `[N, C, H, W]`; an odd side is lengthened by its last row or column meanwhile.
    """
    height, width = images.shape[2:]
    even = F.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
    bands = F.pixel_unshuffle(even, 2).view(*images.shape[:2], 4, even.shape[2] // 2, -1)
    # Rows of 2 x 2 pixels [N, C, 4, H/2, W/2] times the orthogonal Haar matrix, its own inverse.
    signs = images.new_tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    found = torch.einsum("sk,nckhw->ncshw", signs, bands)
    detail = found[:, :, 1:]
    sigma = detail[:, :, 2].abs().flatten(2).median(2).values / 0.6745
    variance = sigma.square()[:, :, None]
    signal = (detail.flatten(3).square().mean(3) - variance).clamp_min(1e-12).sqrt()
    least = (variance / signal)[..., None, None]
    kept = detail.sign() * (detail.abs() - least).clamp_min(0)
    back = torch.einsum("sk,ncshw->nckhw", signs, torch.cat([found[:, :, :1], kept], 2))
    return F.pixel_shuffle(back.flatten(1, 2), 2)[:, :, :height, :width].clamp(0, 1)


class TotalVariation(RandomRepair):
    """Half of the pixels dropped, and filled by the image of least total variation beside the others (Guo et al. 2018).

    Args:
        net: from images in [0, 1] to logits.
        drop: share of pixels dropped.
        weight: of the total variation.
    """

    STEPS, LENGTH, SMOOTH = 30, 0.3, 0.05

    def __init__(self, net: nn.Module, drop: float, weight: float) -> None:
        super().__init__(net)
        self.drop, self.weight = drop, weight

    @override
    def repair(self, images: Tensor) -> Tensor:
        kept = (self.uniform(images, 1, *images.shape[2:]) >= self.drop).to(images)
        near = F.avg_pool2d(kept, 5, 1, 2).clamp_min(1e-6)
        x = torch.where(kept > 0, images, (F.avg_pool2d(images * kept, 5, 1, 2) / near).clamp(0, 1))
        for _ in range(self.STEPS):
            x = x - self.LENGTH * (kept * (x - images) + self.weight * total_variation_slope(x, self.SMOOTH))
        return x.clamp(0, 1)


def total_variation_slope(images: Tensor, smooth: float) -> Tensor:
    """The gradient of `sum sqrt(dx^2 + smooth^2) + sqrt(dy^2 + smooth^2)` by the pixels, `[N, C, H, W]`."""
    found = torch.zeros_like(images)
    for axis in (2, 3):
        step = images.diff(dim=axis)
        slope = step / (step.square() + smooth**2).sqrt()
        size = step.shape[axis]
        found.narrow(axis, 1, size).add_(slope)
        found.narrow(axis, 0, size).sub_(slope)
    return found


class MatrixEstimation(RandomRepair):
    """Random pixels dropped, and each channel rebuilt from its largest singular vectors (ME-Net, Yang et al. 2019)."""

    def __init__(self, net: nn.Module, drop: float, rank: int) -> None:
        super().__init__(net)
        self.drop, self.rank = drop, rank

    @override
    def repair(self, images: Tensor) -> Tensor:
        kept = self.uniform(images, 1, *images.shape[2:]) >= self.drop
        u, s, v = torch.linalg.svd(images * kept, full_matrices=False)
        r = self.rank
        low: Tensor = u[..., :r] * s[..., None, :r] @ v[..., :r, :]
        return (low / (1 - self.drop)).clamp(0, 1)


class MixupInference(Random):
    """The mean answer to mixtures with images of other classes than the predicted one (MI-OL; Pang et al. 2020).

    Args:
        net: from images in [0, 1] to logits.
        pool: images to mix with, `[M, C, H, W]`.
        share: of the image in a mixture, in (0, 1).
        mixtures: number of mixtures an image.
    """

    def __init__(self, net: Classifier, pool: Tensor, share: float, mixtures: int) -> None:
        super().__init__(net)
        self.share, self.mixtures = share, mixtures
        self.register_buffer("pool", pool)

    @override
    def forward(self, images: Tensor) -> Tensor:
        pool: Tensor = self.get_buffer("pool")
        with torch.no_grad():
            other = self.net(images).argmax(1)[:, None] != self.net(pool).argmax(1)
        answers = []
        for _ in range(self.mixtures):
            partner = (self.uniform(images, len(pool)) * other).argmax(1)
            answers.append(self.net(self.share * images + (1 - self.share) * pool[partner]))
        return torch.stack(answers).mean(0)


class AntiAdversary(nn.Module):
    """The answer to an image that was first moved towards the class the network gives it (Alfarra et al. 2022).

    The move takes gradients while the model answers; no gradient passes through it.

    Args:
        net: from images in [0, 1] to logits.
        steps: of the move.
        length: of each step, for every pixel.
    """

    def __init__(self, net: nn.Module, steps: int, length: float) -> None:
        super().__init__()
        self.net, self.steps, self.length = net, steps, length

    @override
    def forward(self, images: Tensor) -> Tensor:
        move = torch.zeros_like(images)
        with torch.no_grad():
            labels = self.net(images).argmax(1)
        for _ in range(self.steps):
            with torch.inference_mode(False), torch.enable_grad():
                x = (images.detach().clone() + move.clone()).requires_grad_(True)
                loss = F.cross_entropy(self.net(x), labels.clone(), reduction="sum")
                (gradient,) = torch.autograd.grad(loss, x)
            move = move - self.length * gradient.sign()
        logits: Tensor = self.net(images + move)
        return logits


def anti_adversary(net: Classifier | None = None, *, steps: int = 2, length: float = 0.15) -> Classifier:
    """Images moved towards the predicted class first (Alfarra et al. 2022, arXiv:2103.14347).

    Args:
        net: as for `bit_depth`.
        steps: of the move, at least 1.
        length: of each step, in [0, 1] pixel units, above 0.
    """
    _check("anti_adversary", steps=(steps, steps >= 1, "at least 1"), length=(length, length > 0, "above 0"))
    base = base_network(net)
    return as_exhibit(AntiAdversary(base, steps, length), base, "anti_adversary")


def thermometer(net: Classifier | None = None, *, levels: int = 16) -> Classifier:
    """Pixels as thermometer codes of 16 bits (Buckman et al. 2018): no gradient reaches the image.

    Args:
        net: as for `bit_depth`.
        levels: bits a pixel, at least 2.
    """
    _check("thermometer", levels=(levels, levels >= 2, "at least 2"))
    base = base_network(net)
    return as_exhibit(nn.Sequential(ThermometerCode(levels), ThermometerReader(levels), base), base, "thermometer")


def pixel_deflection(net: Classifier | None = None, *, share: float = 0.1, reach: int = 2) -> Classifier:
    """Random pixels replaced by neighbours, then wavelet denoising (Prakash et al. 2018, arXiv:1801.08926).

    Args:
        net: as for `bit_depth`.
        share: of the pixels replaced, in (0, 1].
        reach: largest distance of the neighbour along each axis, in pixels, at least 1.
    """
    _check("pixel_deflection", share=(share, 0 < share <= 1, "in (0, 1]"), reach=(reach, reach >= 1, "at least 1"))
    base = base_network(net)
    return as_exhibit(PixelDeflection(base, share, reach), base, "pixel_deflection")


def total_variation(net: Classifier | None = None, *, drop: float = 0.5, weight: float = 0.03) -> Classifier:
    """Pixels dropped at random and filled by minimal total variation (Guo et al. 2018, arXiv:1711.00117).

    Args:
        net: as for `bit_depth`.
        drop: share of the pixels, in [0, 1).
        weight: of the total variation, 0 to 0.1.
    """
    limits = {"drop": (drop, 0 <= drop < 1, "in [0, 1)"), "weight": (weight, 0 <= weight <= 0.1, "in [0, 0.1]")}
    _check("total_variation", **limits)
    base = base_network(net)
    return as_exhibit(TotalVariation(base, drop, weight), base, "total_variation")


def me_net(net: Classifier | None = None, *, drop: float = 0.1, rank: int = 14) -> Classifier:
    """Pixels dropped at random and the image rebuilt with low rank (ME-Net; Yang et al. 2019, arXiv:1905.11971).

    Args:
        net: as for `bit_depth`.
        drop: share of the pixels, in [0, 1).
        rank: singular vectors kept, at least 1.
    """
    _check("me_net", drop=(drop, 0 <= drop < 1, "in [0, 1)"), rank=(rank, rank >= 1, "at least 1"))
    base = base_network(net)
    return as_exhibit(MatrixEstimation(base, drop, rank), base, "me_net")


def mixup(
    net: Classifier | None = None, *, pool: Tensor | None = None, share: float = 0.8, mixtures: int = 5
) -> Classifier:
    """Answers averaged over mixtures with other images (mixup inference; Pang et al. 2020, arXiv:1909.11515).

    Args:
        net: as for `bit_depth`.
        pool: images to mix with, `[M, C, H, W]` in [0, 1]; None for 100 demo images.
        share: of the image in a mixture, in (0, 1).
        mixtures: number of mixtures an image, at least 1.
    """
    limits = {"share": (share, 0 < share < 1, "in (0, 1)"), "mixtures": (mixtures, mixtures >= 1, "at least 1")}
    _check("mixup", **limits)
    base = base_network(net)
    if pool is None:
        if base.view is None:
            raise ModelError(f"model {base.name!r} has no input size, so demo images cannot be mixed in: give pool=")
        data = load_data("demo")
        (batch,) = stream(data, range(len(data) - POOL, len(data)), view=base.view, batch_size=POOL)
        if not isinstance(batch, Batch):
            raise ModelError(f"mixup: a demo image cannot be read: {batch}")
        pool = batch.images
    return as_exhibit(MixupInference(base, pool, share, mixtures), base, "mixup")


def _check(name: str, **limits: tuple[float, bool, str]) -> None:
    for key, (value, fine, words) in limits.items():
        if not fine:
            raise ParameterError(f"{name}: {key}={value:g} must be {words}")
