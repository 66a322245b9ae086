"""The sets of images that are compared with photos: stand-ins for generated ones, controls, and drawings."""

from __future__ import annotations

import torch.nn.functional as F

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.generate.auto_encoder import AutoEncoder
from unshaken.generate.edm import EDM
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.corruptions.jpeg_compression import jpeg_compression
from unshaken_papers.rigid import AGAIN, BLURRED, NOISY, UPSCALED
from unshaken_papers.rigid.stand_ins import drawings, halved, levels, low_rank, spectrum
from unshaken_papers.rigid.upscaler import Upscaler

KEPT = 3
"""Cosines of a block that the set `low-rank` keeps, of 8 x 8: 9 of 64."""
BLUR, NOISE = 1.0, 0.02
"""Deviation of the blur in pixels, and of the noise on [0, 1] pixels."""


def corrupt(batch: Batch, treatment: str, seed: int) -> Batch:
    """Images as they are after a corruption that real and generated ones go through alike, on 8-bit levels.

    Args:
        batch: the images.
        treatment: one of `CORRUPTIONS`, or none.
        seed: of the noise, which a photo and what was made of it share.
    """
    x = batch.images
    if treatment == AGAIN:
        return batch.with_images(jpeg_compression(x, 90))
    if treatment == BLURRED:
        return batch.with_images(levels(gaussian_blur(x, BLUR)))
    if treatment == NOISY:
        drawn = SampleRng.of(seed, "rigid-noise", batch.ids).normal(*x.shape[1:])
        return batch.with_images(levels(x + NOISE * drawn))
    return batch


def made_of(photos: Batch, coder: AutoEncoder, upscaler: Upscaler | None, seed: int) -> dict[str, Batch]:
    """Stand-ins for generated pictures, controls, and drawings, one for each photo.

    Args:
        photos: on 8-bit levels, H and W multiples of 8.
        coder: the auto-encoder.
        upscaler: the super-resolution network; None where it is not installed.
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
    if upscaler is not None:
        images[UPSCALED] = levels(upscaler.redraw(x))
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
