"""Edits: what no edit changes, what a linear generator makes of one, and what a broken generator is told."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ModelError
from unshaken.core.rng import SampleRng
from unshaken.generate.latent.adapters import LinearGenerator, fit_linear_generator
from unshaken.generate.latent.natural_edits import (
    NaturalEdits,
    area,
    brightness,
    changed_shares,
    contrast,
    edits_of,
    extent,
    sharpness,
    slant,
    statistic_correlations,
)


@pytest.fixture
def images():
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_no_edit_gives_the_image_back_to_the_bit(vae, images):
    edits = NaturalEdits(vae, torch.eye(3), torch.ones(3))
    codes = edits.encode(images)
    assert torch.equal(edits.edit(images, codes, torch.zeros(6, 3)), images)
    other_batch = edits.rebuild(codes[:1])  # a base from another batch may differ by rounding
    assert torch.equal(edits.edit(images[:1], codes[:1], torch.zeros(1, 3), other_batch + 1e-4), images[:1])


def test_an_edit_of_a_linear_generator_adds_its_direction_and_keeps_the_residual():
    weight = torch.tensor([[0.2, 0], [0, 0.1], [0, 0], [0, 0]])
    edits = NaturalEdits(LinearGenerator(weight, torch.zeros(4), (1, 2, 2)), torch.eye(2), torch.tensor([1.0, 2]))
    x = torch.full((1, 1, 2, 2), 0.5)
    found = edits.edit(x, edits.encode(x), torch.tensor([[1.0, -1.5]]))
    assert torch.allclose(found.flatten(), torch.tensor([0.7, 0.2, 0.5, 0.5]), atol=1e-6)


def test_edited_images_are_cut_to_the_unit_range(vae, images):
    edits = NaturalEdits(vae, torch.eye(3), torch.full((3,), 50.0))
    found = edits.edit(images, edits.encode(images), torch.ones(6, 3))
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert not torch.equal(found, images)


def test_gradients_pass_to_the_amounts_also_where_there_is_no_edit_yet(vae, images):
    edits = NaturalEdits(vae, torch.eye(3), torch.ones(3))
    amounts = torch.zeros(6, 3, requires_grad=True)
    edits.edit(images, edits.encode(images), amounts).sum().backward()
    assert bool((amounts.grad != 0).all())


def test_random_amounts_hang_on_the_sample_alone_and_fill_the_box(vae):
    edits = NaturalEdits(vae, torch.eye(3), torch.ones(3))
    rng = SampleRng.of(0, "natra", [str(i) for i in range(400)])
    drawn = edits.draw(rng, 1.5)
    assert torch.equal(edits.draw(rng[7:8], 1.5), drawn[7:8])
    assert 1.4 < float(drawn.abs().max()) <= 1.5
    assert abs(float(drawn.mean())) < 0.1


def test_scales_are_those_of_the_training_codes(vae, images):
    edits = edits_of(vae, images, 2)
    assert edits.count == 2
    assert torch.allclose(edits.scales, (vae.encode(images) @ edits.directions.T).std(0))


def test_principal_components_make_codes_of_unit_deviation_whatever_the_order(images):
    one, other = fit_linear_generator(images, 3), fit_linear_generator(images.flip(0), 3)
    assert torch.allclose(one.weight, other.weight, atol=1e-5)
    assert torch.allclose(one.encode(images).std(0), torch.ones(3), atol=1e-4)
    whole = fit_linear_generator(images, 64)
    assert whole.latents == 5
    assert torch.allclose(whole.generate(whole.encode(images)), images, atol=1e-4)
    with pytest.raises(DataError, match="of 2 images, which do not differ, do not exist"):
        fit_linear_generator(torch.ones(2, 1, 4, 4), 3)


class Broken(LinearGenerator):
    """NaN codes for dark images, NaN pixels for large codes."""

    def encode(self, images):
        return super().encode(images).where(images.flatten(1).mean(1, keepdim=True) > 0.1, torch.nan)

    def features(self, codes):
        return super().features(codes).where(codes.abs().amax(1).view(-1, 1, 1, 1) < 5, torch.nan)


def test_codes_and_images_that_are_no_numbers_are_told_in_one_line():
    edits = NaturalEdits(Broken(torch.eye(4), torch.zeros(4), (1, 2, 2)), torch.eye(4), torch.ones(4))
    images = torch.full((3, 1, 2, 2), 0.5)
    images[1] = 0
    with pytest.raises(ModelError, match=r"gives NaN or infinite codes for 1 of 3 images \(the first is number 1"):
        edits.encode(images)
    bright = images[::2]
    codes, amounts = edits.encode(bright), torch.zeros(2, 4)
    amounts[1, 2] = 9
    with pytest.raises(ModelError, match=r"gives NaN or infinite images for 1 of 2 images \(the first is number 1"):
        edits.edit(bright, codes, amounts)


def test_images_of_another_form_are_refused(vae):
    edits = NaturalEdits(vae, torch.eye(3), torch.ones(3))
    for shape in ((1, 12, 8), (3, 8, 8)):
        own = "x".join(map(str, shape))
        with pytest.raises(ModelError, match=f"vae is for images of 1x8x8 .*, not {own}: use one that was trained"):
            edits.encode(torch.rand(2, *shape))


@pytest.fixture
def edits():
    """The first direction moves the left pixel of two by up to 0.6, the second the right one, the third nothing."""
    weight = torch.tensor([[0.4, 0, 0], [0, 0.4, 0]])
    return NaturalEdits(LinearGenerator(weight, torch.zeros(2), (1, 1, 2)), torch.eye(3), torch.ones(3))


def left_is_bright(images):
    return (images[:, 0, 0, 0] > 0.5).long()


@pytest.fixture
def pairs():
    left, right = torch.tensor([0.3, 0.4, 0.6, 0.7]), torch.tensor([0.5, 0.5, 0.4, 0.6])
    return torch.stack([left, right], 1).view(4, 1, 1, 2)


def test_a_direction_of_the_class_always_changes_it_and_others_never_do(edits, pairs):
    shares = changed_shares(edits, left_is_bright, pairs, torch.tensor([0, 0, 1, 1]), 1.5)
    assert shares.tolist() == [1, 0, 0]


def test_only_images_that_the_reference_knows_are_counted(edits, pairs):
    labels = torch.tensor([0, 1, 1, 1])
    assert changed_shares(edits, left_is_bright, pairs, labels, 0.3).tolist() == [pytest.approx(1 / 3), 0, 0]


def test_one_class_and_a_reference_that_knows_none_are_told(edits, pairs):
    with pytest.raises(DataError, match="all images are of one class"):
        changed_shares(edits, left_is_bright, pairs, torch.zeros(4).long(), 1.0)
    with pytest.raises(DataError, match="right on none of the images"):
        changed_shares(edits, left_is_bright, pairs, torch.tensor([1, 1, 0, 0]), 1.0)


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
