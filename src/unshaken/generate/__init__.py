"""Small generative models: diffusion by noise prediction and by denoising, with classes or without."""

from unshaken.core.room import open_room
from unshaken.generate.ddpm import DDPM
from unshaken.generate.ddpm import DDPMSettings as DDPMSettings
from unshaken.generate.edm import EDM, karras_grid
from unshaken.generate.edm import EDMSettings as EDMSettings
from unshaken.generate.fitting import Fitting
from unshaken.generate.saved import load, load_generator, save
from unshaken.generate.unet import UNet, UNetSettings

__all__ = [
    "DDPM", "EDM", "Fitting", "UNet", "UNetSettings", "dataset", "fit", "karras_grid", "load", "load_generator",
    "measure", "sample", "save", "scaling", "texture",
    *open_room(__name__),  # pyright: ignore[reportUnsupportedDunderAll]
]  # fmt: skip
