"""Small generative models: diffusion by noise prediction and by denoising, with classes or without."""

from unshaken.core.room import open_room
from unshaken.generate.ddpm import DDPM, DDPMSettings
from unshaken.generate.edm import EDM, EDMSettings, karras_grid
from unshaken.generate.fit import Fitting
from unshaken.generate.saved import load, save
from unshaken.generate.unet import UNet, UNetSettings

__all__ = [
    "DDPM", "DDPMSettings", "EDM", "EDMSettings", "Fitting", "UNet", "UNetSettings", "karras_grid", "load", "save",
    *open_room(__name__),  # pyright: ignore[reportUnsupportedDunderAll]
]  # fmt: skip
