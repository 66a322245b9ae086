"""Defocus blur against the reference, and its disks against known figures."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from unshaken.stress.corruptions.defocus_blur import DefocusBlur, defocus_blur, disk

IMAGENET = DefocusBlur.strengths.of["imagenet"]


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference(peer, severity):
    pixels = peer.photo(160, 224)
    found = defocus_blur(peer.to_images(pixels), *IMAGENET[severity - 1])
    assert peer.agrees(found, peer.reference("defocus_blur", pixels, severity))


def test_disks_have_the_known_sizes_and_sums():
    disks = [disk(*c) for c in IMAGENET]
    assert [int((d > 1e-12).sum()) for d in disks] == [29, 89, 169, 257, 429]
    assert [d.sum() for d in disks] == pytest.approx([1, 1, 1, 1.012975, 1.010786], abs=1e-6)
    assert [len(d) for d in disks][3:] == [17, 21]
    small = disk(0.3, 0.4)
    assert small.shape == (3, 3)
    assert small[1, 1] == pytest.approx(0.844973, abs=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (8, 13), (30, 11)])
def test_pictures_smaller_than_the_disk_are_mirrored_again_and_again(shape):
    image = np.random.default_rng(0).random(shape)
    found = defocus_blur(torch.from_numpy(image).float()[None, None], 10, 0.5)
    assert np.abs(found[0, 0].numpy() - correlate(image, disk(10, 0.5), mode="mirror")).max() < 1e-6


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(DefocusBlur(preset="imagenet", truncate=False), 4) == []
    assert peer.depends_on_batch(DefocusBlur(truncate=False), 3, 32, 32, channels=1) == []
