"""`Upscaler`: a trained super-resolution network, which draws the fine detail of images anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.data.named import npm_packages

PACKAGE = "@upscalerjs/default-model"
"""The npm package with the weights (MIT licence, 1.3 MB; trained on the photos of DIV2K)."""
BLOCKS = (1, 2)
LAYERS: Mapping[str, tuple[int, int, int]] = {
    "F_m1": (3, 64, 3),
    "F_0": (64, 64, 3),
    **{f"F_{d}_1": (64, 4, 3) for d in BLOCKS},
    **{f"LFF_{d}": (68, 64, 1) for d in BLOCKS},
    "GFF_1": (128, 64, 1),
    "GFF_2": (64, 64, 3),
    "UPN1": (64, 64, 5),
    "UPN2": (64, 32, 3),
    "UPN3": (32, 12, 3),
    "SR": (12, 3, 3),
}
"""The convolutions as the package names them: channels in and out, and the side of the kernel."""


class Upscaler(nn.Module):
    """A residual dense network that doubles the sides of images.

    Two dense blocks of one layer with four new channels each, then five convolutions, the nearest pixel's value at
    twice the size, and a last convolution.

    Source:
        Zhang et al. 2018, arXiv:1802.08797.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({n: nn.Conv2d(a, b, k, padding=k // 2) for n, (a, b, k) in LAYERS.items()})

    @override
    def forward(self, images: Tensor) -> Tensor:
        layers = self.layers
        shallow = layers["F_m1"](255 * images)
        x, blocks = layers["F_0"](shallow), []
        for d in BLOCKS:
            dense = layers[f"F_{d}_1"](x).relu()
            x = x + layers[f"LFF_{d}"](torch.cat([x, dense], 1))
            blocks.append(x)
        x = shallow + layers["GFF_2"](layers["GFF_1"](torch.cat(blocks, 1)))
        x = layers["UPN3"](layers["UPN2"](layers["UPN1"](x).relu()).relu())
        large: Tensor = layers["SR"](F.interpolate(x, scale_factor=2, mode="nearest"))
        return large / 255

    @torch.no_grad()
    def redraw(self, images: Tensor) -> Tensor:
        """Images at half the size by averages of 2 x 2 pixels, and doubled by the network.

        Args:
            images: `[N, 3, H, W]` in [0, 1], H and W even.

        Returns:
            The same shape, clipped to [0, 1].
        """
        parts = [self(F.avg_pool2d(x, 2)).clamp(0, 1) for x in torch.split(images, 8)]
        return torch.cat([images[:0], *parts])


def find_upscaler() -> Path | None:
    """The folder of the installed npm package; None where it is not installed."""
    return next((f for f in npm_packages(PACKAGE) if (f / "models" / "model.json").is_file()), None)


def load_upscaler(folder: Path) -> Upscaler:
    """The network with the weights of the npm package, in evaluation mode.

    Args:
        folder: of the package, as `find_upscaler` gives it.

    Raises:
        ModelError: the files hold another network, or are damaged.
    """
    place = folder / "models"
    state: dict[str, Tensor] = {}
    try:
        for group in json.loads((place / "model.json").read_text(encoding="utf-8"))["weightsManifest"]:
            data, start = b"".join((place / Path(p).name).read_bytes() for p in group["paths"]), 0
            for weight in group["weights"]:
                layer, kind = weight["name"].split("/")
                count = int(np.prod(weight["shape"]))
                values = np.frombuffer(data, "<f4", count, start).reshape(weight["shape"])
                start += values.nbytes
                kernel = kind == "kernel"
                moved = np.ascontiguousarray(values.transpose(3, 2, 0, 1) if kernel else values)
                state[f"layers.{layer}.{'weight' if kernel else 'bias'}"] = torch.from_numpy(moved.copy())
        model = Upscaler()
        model.load_state_dict(state)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{place} does not hold the super-resolution network of {PACKAGE} 1.0.0 ({str(error).splitlines()[0]}): "
            f"install it again with: npm install {PACKAGE}@1.0.0"
        ) from error
    return model.eval().requires_grad_(False)
