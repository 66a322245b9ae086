"""Outputs of one shared pass, and its images as 8-bit pixels."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ModelError
from unshaken.detect.engine.forward_pass import ForwardPass, pool, rgb_pixels


def test_maps_and_tokens_are_averaged_over_places():
    maps = torch.arange(2.0 * 3 * 2 * 2).view(2, 3, 2, 2)
    assert torch.equal(pool(maps, "x"), maps.flatten(2).mean(2))
    tokens = torch.arange(12.0).view(2, 3, 2)
    assert pool(tokens, "x").tolist() == [[2.0, 3.0], [8.0, 9.0]]
    with pytest.raises(ModelError, match=r"layer 'x' gives values of shape \(2,\)"):
        pool(torch.zeros(2), "x")


def test_a_layer_is_pooled_once_and_named_when_it_is_not_there(anatomy):
    forward = ForwardPass(anatomy, torch.zeros(2, 2), {"body": torch.rand(2, 4, 3, 3)})
    assert forward.pooled("body") is forward.pooled("body")
    with pytest.raises(ModelError, match=r"the output of layer 'stem' was not requested; available: \['body'\]"):
        forward.pooled("stem")


def test_probabilities_are_float64_and_sum_to_one(anatomy):
    forward = ForwardPass(anatomy, torch.tensor([[0.0, 40.0]]))
    assert forward.probabilities.dtype == torch.float64
    assert 0 < forward.probabilities[0, 0] < 1e-17
    assert forward.predictions.tolist() == [1]


def test_features_alone_have_no_images_and_no_streams(anatomy):
    forward = ForwardPass(anatomy, torch.zeros(1, 2))
    with pytest.raises(ModelError, match="the images, not only features"):
        forward.pixels  # noqa: B018
    with pytest.raises(ModelError, match="uses random numbers"):
        forward.streams  # noqa: B018


def forward(anatomy, images):
    return ForwardPass(anatomy, torch.zeros(len(images), 2), images=images)


def test_gray_and_rgb_images_become_height_width_colour(anatomy):
    gray = torch.tensor([[0.0, 1.0], [0.2, 0.4]]).view(1, 1, 2, 2)
    (found,) = rgb_pixels(forward(anatomy, gray))
    assert found.tolist() == [[[0] * 3, [255] * 3], [[51] * 3, [102] * 3]]
    colour = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(2, 3, 1, 2)
    assert [p.tolist() for p in rgb_pixels(forward(anatomy, colour))] == [[[[51, 102, 153]] * 2]] * 2


def test_two_channels_are_refused(anatomy):
    with pytest.raises(DataError, match="images of 2 channels are neither gray nor RGB"):
        list(rgb_pixels(forward(anatomy, torch.zeros(1, 2, 4, 4))))
