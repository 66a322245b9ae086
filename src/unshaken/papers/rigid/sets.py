"""The sets of images that are compared with photos: stand-ins for generated ones, controls, and drawings."""

from __future__ import annotations

import torch.nn.functional as F

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.generate.auto_encoder import AutoEncoder
from unshaken.generate.edm import EDM
from unshaken.generate.stand_ins import drawings, halved, levels, low_rank, spectrum
from unshaken.stress.corruptions.jpeg_compression import jpeg_compression

KEPT = 3
"""Cosines of a block that the set `low-rank` keeps, of 8 x 8: 9 of 64."""


def made_of(photos: Batch, coder: AutoEncoder, seed: int) -> dict[str, Batch]:
    """Stand-ins for generated pictures, controls, and drawings, one for each photo.

    Args:
        photos: on 8-bit levels, H and W multiples of 8.
        coder: the auto-encoder.
        seed: of what is drawn at random.
    """
    x, rng = photos.images, SampleRng.of(seed, "rigid-sets", photos.ids)
    images = {
        "bicubic": halved(x, "bicubic"),
        "nearest": halved(x, "nearest"),
        "low-rank": low_rank(x, KEPT),
        "spectrum": spectrum(x, rng),
        "auto-encoder": levels(coder(x)),
        "jpeg95": jpeg_compression(x, 95),
        "jpeg60": jpeg_compression(x, 60),
        "drawings": drawings(len(x), x.shape[2], rng),
    }
    return {name: photos.with_images(made) for name, made in images.items()}


def small_sets(real: Batch, model: EDM, side: int, seed: int) -> dict[str, Batch]:
    """Small images beside generated ones, all enlarged alike; generated ones once more through a file like the real.

    Args:
        real: images of a JPEG file of quality 75.
        model: that learned from others of their kind.
        side: height and width in pixels of what is scored.
        seed: of what is generated.
    """
    made = levels(model.sample(len(real), seed=seed))
    images = {"small-real": real.images, "small-edm": made, "small-edm-jpeg75": jpeg_compression(made, 75)}
    large = {k: levels(F.interpolate(v, side, mode="bicubic", antialias=True)) for k, v in images.items()}
    return {name: real.with_images(picture) for name, picture in large.items()}
