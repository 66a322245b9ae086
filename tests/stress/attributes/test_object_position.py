"""Places of objects."""

import torch

from unshaken.stress.attributes.object_position import ObjectPosition
from unshaken.stress.engine.object_layers import bounding_box, object_size


def test_places_differ_and_the_object_is_whole(pictures, masks):
    edit = ObjectPosition(size=0).with_masks(masks)
    corners = set()
    for seed in range(6):
        made, _ = edit.edits(pictures, 1, seed)
        for image, mask, original, name in zip(made.images, made.masks, pictures.images, pictures.ids, strict=True):
            box = bounding_box(mask[0])
            corners.add((box.top, box.left))
            assert torch.equal(image[:, mask[0]], original[:, masks[name]])
    assert len(corners) > 12


def test_it_is_made_small_first(pictures, masks):
    made, _ = ObjectPosition().with_masks(masks).edits(pictures, 1)
    assert max(object_size(mask[0]) for mask in made.masks) <= 0.065
