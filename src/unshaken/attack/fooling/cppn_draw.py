"""From graphs to images: every pixel of every member of a population, node by node."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unshaken.attack.fooling.graphs import depths
from unshaken.core.device import widen

INPUTS = 4
"""x, y, distance from the centre, bias."""

KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": torch.sin,
    "sigmoid": lambda p: torch.tanh(p / 2),  # 2 / (1 + exp(-p)) - 1
    "gaussian": lambda p: torch.exp(-p * p),
    "linear": lambda p: p.clamp(-3, 3) / 3,
}
"""The functions of nodes, from any sum to [-1, 1]."""

_AT_ONCE = 1 << 23
"""Values held in one piece of a population."""


def inputs(height: int, width: int, *, raw: bool) -> Tensor:
    """What a graph is told of each pixel.

    Args:
        height: in pixels.
        width: in pixels.
        raw: x and y as pixel numbers from 0, else over [-1, 1]. The distance from the centre is over [-1, 1] always.

    Returns:
        float64 `[4, height * width]`: x, y, distance, 1.
    """
    unit = [torch.linspace(-1, 1, n).double() if n > 1 else torch.zeros(1).double() for n in (height, width)]
    y, x = torch.meshgrid(*unit, indexing="ij")
    distance = (x * x + y * y).sqrt()
    if raw:
        y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    return torch.stack([x, y, distance, torch.ones_like(x)]).flatten(1)


def drawn(
    wired: Tensor, weight: Tensor, kind: Tensor, alive: Tensor, shape: tuple[int, int, int], *, raw: bool
) -> Tensor:
    """The images of graphs.

    Args:
        wired: bool `[N, M, M]`, without circles; see `unshaken.attack.fooling.cppn.Graphs`.
        weight: float64 `[N, M, M]`.
        kind: int64 `[N, M]`.
        alive: bool `[N, M]`.
        shape: channels (as many as outputs: 1 is grey; 3 are hue, lightness and saturation), height and width.
        raw: see `inputs`.

    Returns:
        uint8 `[N, C, H, W]`, in RGB where there are three channels.
    """
    outputs, height, width = shape
    place = inputs(height, width, raw=raw)
    piece = max(1, _AT_ONCE // (kind.shape[1] * place.shape[1]))
    parts = [
        answers(w, v, k, a, place)[:, INPUTS : INPUTS + outputs]
        for w, v, k, a in zip(*(torch.split(x, piece) for x in (wired, weight, kind, alive)), strict=True)
    ]
    pixels = (torch.cat(parts).abs() * 255).to(torch.uint8).reshape(-1, outputs, height, width)
    return pixels if outputs == 1 else from_hls(pixels)


def answers(wired: Tensor, weight: Tensor, kind: Tensor, alive: Tensor, place: Tensor) -> Tensor:
    """The value of every node at every pixel.

    A node is computed once all that lead to it are: what repeating synchronous updates as often as the graph is deep
    comes to. The nodes of each graph are sorted by depth first, so that all graphs go through the same places.

    Args:
        wired: bool `[N, M, M]`, without circles.
        weight: float64 `[N, M, M]`, 0 where nothing is wired.
        kind: int64 `[N, M]`.
        alive: bool `[N, M]`.
        place: float64 `[4, P]`, see `inputs`.

    Returns:
        float64 `[N, M, P]`, in [-1, 1] but for the inputs; 0 for nodes that do not exist.
    """
    n, m = kind.shape
    depth = torch.from_numpy(depths(wired.numpy())).masked_fill(~alive, m)
    depth[:, :INPUTS] = -1
    order = depth.argsort(dim=1, stable=True)
    rows = torch.arange(n)[:, None]
    sorted_weight = weight[rows[..., None], order[:, :, None], order[:, None, :]]
    sorted_kind = kind.gather(1, order).masked_fill(~alive.gather(1, order), len(KINDS))
    count = int(alive.sum(1).max())
    values = torch.zeros(n, count, place.shape[1], dtype=torch.float64)
    values[:, :INPUTS] = place
    for slot in range(INPUTS, count):
        total = torch.bmm(sorted_weight[:, slot : slot + 1, :slot], values[:, :slot])[:, 0]
        for number, function in enumerate(KINDS.values()):
            of = (sorted_kind[:, slot] == number).nonzero().flatten()
            values[of, slot] = function(total[of])
    back = order.argsort(1)
    return torch.cat([values, values.new_zeros(n, 1, place.shape[1])], 1)[rows, back.clamp(max=count)]


def from_hls(pixels: Tensor) -> Tensor:
    """RGB of hue, lightness and saturation in 8 bits; a step of hue is 2 degrees, as 8-bit images have it.

    Args:
        pixels: uint8 `[N, 3, H, W]`.

    Returns:
        The same shape and type.
    """
    hue, light, saturation = widen(pixels).unbind(1)
    hue, light, saturation = hue * 2 / 360, light / 255, saturation / 255
    upper = torch.where(light <= 0.5, light * (1 + saturation), light + saturation - light * saturation)
    lower = 2 * light - upper
    shift = torch.tensor([1 / 3, 0.0, -1 / 3], dtype=torch.float64).view(1, 3, 1, 1)
    turn = (hue[:, None] + shift) % 1
    rise, fall = (x.clamp(0, 1) for x in (6 * turn, 4 - 6 * turn))
    rgb = lower[:, None] + (upper - lower)[:, None] * torch.minimum(rise, fall)
    return (rgb * 255).round().clamp(0, 255).to(torch.uint8)
