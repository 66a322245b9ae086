"""Inversions of a linear generator against least squares and ridge by hand, and what never rises."""

from __future__ import annotations

import pytest
import torch

from tests.generate.latent.conftest import NoEncoder
from unshaken.core.errors import ModelError
from unshaken.generate.latent.inversion import Inversion, invert
from unshaken.generate.latent.natural_edits import batch_shift

X = torch.tensor([[3.0, 2, 5]]).view(1, 1, 1, 3)
PLAIN = Inversion(steps=200, lr=0.1, shift=0, offset=0, code=0)


def test_the_code_of_a_linear_generator_is_that_of_least_squares(by_hand):
    found = invert(by_hand, X, PLAIN)
    torch.testing.assert_close(found.codes, torch.tensor([[1.0, 1]]), atol=2e-3, rtol=0)
    residual = X - by_hand.generate(found.codes)
    torch.testing.assert_close(residual.flatten(), torch.tensor([0.0, 0, 5]), atol=5e-3, rtol=0)
    assert float(found.errors["codes"]) == pytest.approx(25 / 3, abs=1e-3)


def test_a_weight_of_the_code_makes_it_ridge_regression(by_hand):
    """`|W w - x|^2 + |w|^2` is the objective times D = 3, so that l_r is 1/3: w = (9/10, 4/5)."""
    found = invert(by_hand, X, PLAIN.model_copy(update={"code": 1 / 3}))
    torch.testing.assert_close(found.codes, torch.tensor([[0.9, 0.8]]), atol=2e-3, rtol=0)


def test_an_offset_of_the_output_takes_the_residual_but_for_its_weight(by_hand):
    settings = Inversion(steps=800, lr=0.2, shift=0, offset=0.5, code=0, feature=0.01)
    found = invert(by_hand, X, settings)
    wanted = torch.tensor([0.0, 0, 5 / (1 + 3 * 0.01)])  # 4.854369
    torch.testing.assert_close(found.offset.flatten(), wanted, atol=1e-2, rtol=0)
    assert float(found.errors["offset"]) < float(found.errors["codes"])


def test_the_shift_alone_is_the_code_of_the_mean_image():
    g = torch.Generator().manual_seed(0)
    weight, images = torch.randn(12, 3, generator=g), torch.rand(7, 1, 3, 4, generator=g)
    generator = NoEncoder(weight, torch.rand(12, generator=g), (1, 3, 4))
    mean = images.mean(0).flatten() - generator.mean
    wanted = torch.linalg.lstsq(weight, mean[:, None]).solution[:, 0]
    only = Inversion(steps=1000, lr=0.1, shift=0.4, offset=0, code=0)
    torch.testing.assert_close(batch_shift(generator, images, only), wanted, atol=2e-3, rtol=0)
    settings = Inversion(steps=400, lr=0.1, shift=0.999, offset=0, code=0)
    found = invert(generator, images, settings)
    shifted = generator.generate(wanted.expand(7, -1))
    torch.testing.assert_close(
        found.errors["shift"], (shifted - images).square().flatten(1).mean(1), atol=1e-4, rtol=1e-3
    )


def test_no_stage_raises_what_is_made_small(vae):
    g = torch.Generator().manual_seed(1)
    vae.first.weight.mul_(20)
    images = vae.generate(2 * torch.randn(4, 3, generator=g)).lerp(torch.rand(4, 1, 8, 8, generator=g), 0.1)
    found = invert(vae, images, Inversion(steps=60))
    assert list(found.objectives) == ["start", "shift", "codes", "offset"]
    start, shift, codes, offset = found.objectives.values()
    assert float(shift.sum()) <= float(start.sum())
    assert bool((codes <= shift).all() and (offset <= codes).all())
    errors = found.errors
    assert float(errors["shift"].sum()) <= float(errors["start"].sum())
    assert bool((errors["codes"] <= errors["shift"]).all() and (errors["offset"] <= errors["codes"]).all())
    assert float(found.errors["offset"].mean()) < 0.9 * float(found.errors["start"].mean())
    assert found.offset.shape == vae.features(found.codes).shape


def test_a_weight_of_the_code_never_takes_an_image_away_from_what_its_encoder_reached(by_hand):
    """From the code of least squares every shorter code has a larger error, though a smaller objective."""
    settings = PLAIN.model_copy(update={"code": 1 / 3, "steps": 20})
    found = invert(by_hand, X, settings, start=torch.tensor([[1.0, 1]]))
    assert found.codes.tolist() == [[1, 1]]


def test_an_image_is_inverted_the_same_in_any_company_without_a_shift(vae):
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    settings = Inversion(steps=12, shift=0)
    together, alone = invert(vae, images, settings), invert(vae, images[1:2], settings)
    torch.testing.assert_close(together.codes[1:2], alone.codes, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.offset[1:2], alone.offset, atol=1e-5, rtol=0)


def test_a_distance_of_features_weighs_in(by_hand):
    """The squared distance of the first pixel, with weight 1 beside 1/3: it alone is met exactly under a large l_r."""
    first = lambda made, given: (made - given)[..., 0].flatten(1).square().sum(1)  # noqa: E731
    settings = PLAIN.model_copy(update={"code": 1 / 3, "distance": 1.0})
    found = invert(by_hand, X, settings, distance=first)
    # (1/3 + 1) (3 w - 3)^2 + w^2 / 3 is least at w = 12 / (12 + 1/3)
    assert float(found.codes[0, 0]) == pytest.approx(12 / (12 + 1 / 3), abs=2e-3)


def test_images_of_another_size_are_refused(by_hand):
    with pytest.raises(ModelError, match=r"is for images of 1x1x3 .*, not 1x1x4"):
        invert(by_hand, torch.rand(1, 1, 1, 4))
