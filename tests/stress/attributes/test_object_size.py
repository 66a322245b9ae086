"""Sizes of objects."""

import torch

from unshaken.stress.attributes.object_size import ObjectSize
from unshaken.stress.engine.object_layers import fill_holes, object_size


def test_sizes_are_reached_and_the_rest_is_the_filled_background(pictures, masks, stacked):
    filled = fill_holes(pictures.images, stacked)
    for severity, wanted in ((2, 0.1), (3, 0.08), (4, 0.05)):
        made, originals = ObjectSize().with_masks(masks).edits(pictures, severity)
        assert torch.equal(originals, stacked)
        assert made.problems == {}
        for image, mask, background in zip(made.images, made.masks, filled, strict=True):
            assert abs(object_size(mask[0]) - wanted) <= 0.015
            around = ~mask.expand_as(image)
            assert torch.equal(image[around], background[around])


def test_full_is_the_largest(pictures, masks):
    made, _ = ObjectSize().with_masks(masks).edits(pictures, 1)
    assert min(object_size(mask[0]) for mask in made.masks) > 0.9
