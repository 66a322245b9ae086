"""Published defences inside the network, rebuilt without training: its activations or weights are changed."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.models.museum.exhibit import Random, as_exhibit, base_network, with_activations


class PrunedReLU(Random):
    """A ReLU whose outputs survive by a draw, the large ones likelier, and are scaled up for it (Dhillon et al. 2018).

    An output h survives with the probability `1 - (1 - |h| / sum |h|)^r`, and is divided by it. That is the chance
    to be drawn at least once in r draws with replacement; here every output is drawn by itself.

    Args:
        draws: r, as a share of the layer's outputs, above 0.
        seed: of the stream of draws.
    """

    def __init__(self, draws: float, seed: int) -> None:
        super().__init__(nn.ReLU(), seed)
        self.draws = draws

    @override
    def forward(self, activations: Tensor) -> Tensor:
        h: Tensor = self.net(activations)
        size = h.detach().flatten(1)
        share = (size / size.sum(1, keepdim=True).clamp_min(1e-12)).clamp_max(1 - 1e-6)
        chance = -torch.expm1(self.draws * size.shape[1] * torch.log1p(-share))
        alive = self.uniform(size, size.shape[1]) < chance
        return h * (alive / chance.clamp_min(1e-12)).view_as(h)


class RoundedReLU(nn.Module):
    """A ReLU whose outputs are rounded to the levels of `bits` bits between 0 and each image's largest."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.most = 2**bits - 1

    @override
    def forward(self, activations: Tensor) -> Tensor:
        h = activations.relu()
        unit = h.flatten(1).amax(1).clamp_min(1e-12).view(-1, *[1] * (h.ndim - 1)) / self.most
        rounded: Tensor = (h / unit).round() * unit
        return rounded


class MajorityVote(nn.Module):
    """Votes of several networks; the mean of their class probabilities decides between equal numbers of votes.

    Args:
        nets: from images in [0, 1] to logits.
    """

    def __init__(self, nets: list[Classifier]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    @override
    def forward(self, images: Tensor) -> Tensor:
        answers = torch.stack([net(images) for net in self.nets])
        votes = F.one_hot(answers.argmax(2), answers.shape[2]).sum(0)
        logits: Tensor = votes + answers.softmax(2).mean(0)
        return logits


def pruned(net: Classifier | None = None, *, draws: float = 0.5) -> Classifier:
    """Stochastic activation pruning (Dhillon et al. 2018, arXiv:1803.01442): activations survive by a draw.

    Args:
        net: as for `bit_depth`; with layers `torch.nn.ReLU`.
        draws: as a share of a layer's activations, above 0.
    """
    if not draws > 0:
        raise ParameterError(f"pruned: draws={draws:g} must be above 0")
    base = base_network(net)
    seeds = iter(range(10**6))
    return as_exhibit(with_activations(base, lambda: PrunedReLU(draws, next(seeds))), base, "pruned")


def mixed_precision(net: Classifier | None = None, *, bits: tuple[int, ...] = (4, 3)) -> Classifier:
    """A vote of the network and copies with rounded weights and activations (EMPIR; Sen et al. 2020, arXiv:2004.10162).

    Args:
        net: as for `pruned`.
        bits: of the weights and activations of each copy, at least 2.
    """
    if not bits or min(bits) < 2:
        raise ParameterError(f"mixed_precision: bits={bits} must be one or more numbers of at least 2")
    base = base_network(net)
    return as_exhibit(MajorityVote([base, *(_rounded_copy(base, one) for one in bits)]), base, "mixed_precision")


def _rounded_copy(base: Classifier, bits: int) -> Classifier:
    """The network with weights on `2 ** bits - 1` levels around zero, and activations on `2 ** bits`."""
    changed = with_activations(copy.deepcopy(base), lambda: RoundedReLU(bits))
    most = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for weight in (p for p in changed.parameters() if p.ndim > 1):
            unit = weight.abs().amax().clamp_min(1e-12) / most
            weight.copy_((weight / unit).round() * unit)
    return changed
