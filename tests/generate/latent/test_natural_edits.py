"""Edits: what no edit changes, what a linear generator makes of one, and what a broken generator is told."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ModelError
from unshaken.core.rng import SampleRng
from unshaken.generate.latent.linear import LinearGenerator, fit_linear_generator
from unshaken.generate.latent.natural_edits import NaturalEdits, edits_of


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
