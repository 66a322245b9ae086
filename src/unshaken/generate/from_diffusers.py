"""Pixel diffusion models of the library diffusers, from a folder, as a `DDPM`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.errors import ModelError
from unshaken.core.extras import need
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.diffusion import NoiseNet
from unshaken.models.loaders.weights import first_line

PREDICTIONS = ("epsilon", "v_prediction", "sample")


class UNet2D(NoiseNet):
    """A `UNet2DModel` that says the noise, whatever it was trained to say.

    Args:
        net: the `UNet2DModel`.
        image: channels, height and width.
        alpha_bar: float64 `[T]` of its chain.
        prediction: what it says: `epsilon`, `v_prediction` or `sample`.
    """

    def __init__(self, net: nn.Module, image: tuple[int, int, int], alpha_bar: Tensor, prediction: str) -> None:
        super().__init__(image)
        self.unet, self.alpha_bar, self.prediction = net, alpha_bar, prediction

    @override
    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        t = (position * len(self.alpha_bar) / 1000).round().long()
        out: Tensor = self.unet(x, t).sample[:, : self.image[0]]  # guided diffusion says its variance after the noise
        a = self.alpha_bar[t.cpu()].to(x).view(-1, 1, 1, 1)
        if self.prediction == "v_prediction":
            return a.sqrt() * out + (1 - a).sqrt() * x
        return (x - a.sqrt() * out) / (1 - a).sqrt() if self.prediction == "sample" else out


def load_diffusers(folder: Path | str) -> DDPM:
    """A `UNet2DModel` that someone saved with diffusers, and its chain of noise.

    Args:
        folder: of a pipeline (with `unet/` and `scheduler/`), or of the network alone, whose chain is then taken to be
            that of Ho et al. 2020. Nothing is downloaded, weights must be safetensors.

    Raises:
        MissingExtra: diffusers is absent.
        ModelError: there is no such folder, or it holds something else.
    """
    folder, name = Path(folder), f"denoiser 'diffusers:{folder}'"
    if not folder.is_dir():
        raise ModelError(f"{name}: no folder {str(folder)!r}; download the model yourself and give its folder")
    library = need("diffusers", "diffusers", "diffusers", name)
    try:
        place = {"subfolder": "unet"} if (folder / "unet").is_dir() else {}
        net = library.UNet2DModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, **place)
        chain = (
            library.DDPMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)
            if (folder / "scheduler").is_dir()
            else library.DDPMScheduler()
        )
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise ModelError(f"{name} cannot be loaded ({first_line(error)})") from error
    config = net.config
    if config.class_embed_type or config.num_class_embeds:
        raise ModelError(f"{name} must be told the class of every image: only unconditional models denoise")
    if chain.config.prediction_type not in PREDICTIONS:
        raise ModelError(f"{name} predicts {chain.config.prediction_type!r}, not one of {', '.join(PREDICTIONS)}")
    if config.sample_size is None:
        raise ModelError(f"{name} does not say for what size of image it is (sample_size in its config.json)")
    alpha_bar = widen(chain.alphas_cumprod)
    image = (config.in_channels, *_sides(config.sample_size))
    adapted = UNet2D(net, image, alpha_bar, chain.config.prediction_type)
    return DDPM(adapted, DDPMSettings(timesteps=len(alpha_bar)), alpha_bar).eval()


def _sides(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
