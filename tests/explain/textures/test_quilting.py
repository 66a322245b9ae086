"""Image quilting: the least cut against all paths, blocks that fit exactly, and a border that fits itself."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from unshaken.explain.textures.quilting import least_cut, quilt
from unshaken.explain.textures.seams import seam_excess


@pytest.mark.parametrize("seed", range(5))
def test_the_cut_is_the_least_of_all_paths(seed):
    error = np.random.default_rng(seed).integers(0, 50, (5, 4)).astype(np.float32)
    paths = [p for p in product(range(4), repeat=5) if max(abs(a - b) for a, b in pairwise(p)) <= 1]
    least = min(error[range(5), p].sum() for p in paths)
    keep = least_cut(error)
    path = keep.argmax(1)
    assert error[range(5), path].sum() == least
    assert tuple(path.tolist()) in paths
    assert all(line[start:].all() and not line[:start].any() for line, start in zip(keep, path, strict=True))


def test_blocks_of_stripes_that_repeat_go_on_over_every_joint_and_the_border():
    """Among 400 random places some have the stripes' phase, so that all errors are 0: eight columns of eight shades."""
    photo = np.tile(np.arange(8, dtype=np.float32), (40, 5))[..., None]
    made = quilt(photo, 32, 8, np.random.default_rng(0))[..., 0]
    assert (made == made[0]).all()
    assert ((made[0] - made[0, 0]) % 8 == np.arange(32) % 8).all()


@pytest.mark.parametrize("wrapped", [True, False])
def test_it_has_pixels_of_the_photo_alone_and_follows_from_the_seed(wrapped):
    photo = np.random.default_rng(1).random((21, 30, 3), np.float32)
    one, same, other = (quilt(photo, 29, 8, np.random.default_rng(s), wrapped=wrapped) for s in (0, 0, 1))
    assert one.shape == (29, 29, 3)
    assert {tuple(p) for p in one.reshape(-1, 3)} <= {tuple(p) for p in photo.reshape(-1, 3)}
    assert (one == same).all()
    assert (one != other).any()


def test_only_a_fitted_border_has_no_seam():
    """On noise of 2 to 6 waves, drawn larger: the step over the seam is one of many, or stands far out."""
    waves = np.fft.fftfreq(96) * 96
    radius = np.hypot(waves[:, None], waves)
    spectrum = np.exp(2j * np.pi * np.random.default_rng(2).random((96, 96))) * ((radius > 4) & (radius < 12))
    photo = np.fft.ifft2(spectrum).real.astype(np.float32)[:80, :80, None]
    excess = {
        wrapped: seam_excess(torch.from_numpy(quilt(photo, 48, 16, np.random.default_rng(0), wrapped=wrapped))
                             .permute(2, 0, 1)[None]).abs().amax()
        for wrapped in (True, False)
    }  # fmt: skip
    assert excess[True] < 3
    assert excess[False] > 6
