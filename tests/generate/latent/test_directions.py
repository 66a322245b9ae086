"""Directions in closed form against eigenvectors by hand, and those by features against a generator that has both."""

from __future__ import annotations

import torch

from tests.generate.latent.conftest import NoEncoder
from unshaken.generate.latent.directions import (
    closed_form_directions,
    code_scales,
    feature_directions,
    find_directions,
    with_signs,
)

DIAGONAL = torch.diag(torch.tensor([3.0, 2, 1]))


def test_closed_form_directions_of_a_diagonal_weight():
    directions, values = closed_form_directions(DIAGONAL, 3)
    assert torch.equal(directions, torch.eye(3))
    assert values.tolist() == [9, 4, 1]


def test_an_orthogonal_matrix_on_the_left_changes_nothing():
    g = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=g)).Q[:, :3]
    directions, values = closed_form_directions(turn @ DIAGONAL, 2)
    torch.testing.assert_close(directions, torch.eye(3)[:2], atol=1e-5, rtol=0)
    torch.testing.assert_close(values, torch.tensor([9.0, 4]), atol=1e-4, rtol=0)


def test_directions_are_orthonormal_and_their_largest_component_is_positive():
    weight = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    directions, values = closed_form_directions(weight, 4)
    torch.testing.assert_close(directions @ directions.T, torch.eye(4), atol=1e-5, rtol=0)
    assert bool((directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all())
    assert bool((values.diff() <= 0).all())
    assert torch.equal(with_signs(-directions), directions)


def test_a_code_has_no_more_directions_than_numbers():
    assert closed_form_directions(DIAGONAL, 9)[0].shape == (3, 3)


def test_features_of_a_linear_generator_give_its_own_directions():
    """Components of `W w` over normal codes are the eigenvectors of `W^T W`, up to the codes that were drawn."""
    g = torch.Generator().manual_seed(0)
    weight = torch.linalg.qr(torch.randn(16, 3, generator=g)).Q * torch.tensor([5.0, 2, 0.5])
    generator = NoEncoder(weight, torch.zeros(16), (1, 4, 4))
    directions, _ = feature_directions(generator, 3, drawn=4000)
    assert bool(((directions @ torch.eye(3)).abs().diagonal() > 0.99).all())
    torch.testing.assert_close(directions @ directions.T, torch.eye(3), atol=1e-4, rtol=0)
    assert torch.allclose(find_directions(generator, 3)[0], torch.eye(3), atol=1e-4)


def test_scales_are_deviations_along_directions():
    codes = torch.tensor([[0.0, 0], [2, 0], [0, 4], [2, 4]])
    assert torch.allclose(code_scales(torch.eye(2), codes), codes.std(0))
