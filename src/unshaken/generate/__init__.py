"""Small generative models: diffusion by noise prediction and by denoising, with classes or without."""

from unshaken.core.package import open_room

open_room(__name__)
