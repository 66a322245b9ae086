"""The label filter on directions whose effect is known, and the statistics that directions move."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.generate.latent.label_filter import (
    area,
    brightness,
    changed_shares,
    contrast,
    extent,
    sharpness,
    slant,
    statistic_correlations,
)
from unshaken.generate.latent.linear import LinearGenerator
from unshaken.generate.latent.natural_edits import NaturalEdits


@pytest.fixture
def edits():
    """The first direction moves the left pixel of two by up to 0.6, the second the right one, the third nothing."""
    weight = torch.tensor([[0.4, 0, 0], [0, 0.4, 0]])
    return NaturalEdits(LinearGenerator(weight, torch.zeros(2), (1, 1, 2)), torch.eye(3), torch.ones(3))


def left_is_bright(images):
    return (images[:, 0, 0, 0] > 0.5).long()


@pytest.fixture
def images():
    left, right = torch.tensor([0.3, 0.4, 0.6, 0.7]), torch.tensor([0.5, 0.5, 0.4, 0.6])
    return torch.stack([left, right], 1).view(4, 1, 1, 2)


def test_a_direction_of_the_class_always_changes_it_and_others_never_do(edits, images):
    shares = changed_shares(edits, left_is_bright, images, torch.tensor([0, 0, 1, 1]), 1.5)
    assert shares.tolist() == [1, 0, 0]


def test_only_images_that_the_reference_knows_are_counted(edits, images):
    labels = torch.tensor([0, 1, 1, 1])
    assert changed_shares(edits, left_is_bright, images, labels, 0.3).tolist() == [pytest.approx(1 / 3), 0, 0]


def test_one_class_and_a_reference_that_knows_none_are_told(edits, images):
    with pytest.raises(DataError, match="all images are of one class"):
        changed_shares(edits, left_is_bright, images, torch.zeros(4).long(), 1.0)
    with pytest.raises(DataError, match="right on none of the images"):
        changed_shares(edits, left_is_bright, images, torch.tensor([1, 1, 0, 0]), 1.0)


def test_statistics_by_hand():
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 1, 1] = image[0, 0, 3, 3] = 1.0
    assert float(brightness(image)) == float(area(image)) == 0.125
    assert float(contrast(image)) == pytest.approx(float(image.std()))
    assert float(sharpness(image)) == pytest.approx(2 * (2 + 1) / 12)
    # rows 1 and 3 of 4: a variance of (1/4)^2 each way, and they go together
    assert float(slant(image)) == pytest.approx(1 / 16)
    assert float(extent(image)) == pytest.approx((2 / 16) ** 0.5)
    assert float(slant(image.flip(3))) == pytest.approx(-1 / 16)


def test_a_direction_that_is_brightness_correlates_with_it():
    weight = torch.tensor([[0.1, 0.1], [0.1, -0.1]])
    edits = NaturalEdits(LinearGenerator(weight, torch.zeros(2), (1, 1, 2)), torch.eye(2), torch.ones(2))
    images = torch.tensor([[0.3, 0.5], [0.6, 0.4]]).view(2, 1, 1, 2)
    found = statistic_correlations(edits, images, 1.0)["brightness"]
    assert float(found[0]) == pytest.approx(1)
    assert float(found[1]) == pytest.approx(0, abs=1e-5)
