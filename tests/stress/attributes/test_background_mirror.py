"""Mirrored backgrounds."""

import torch

from unshaken.stress.attributes.background_mirror import BackgroundMirror
from unshaken.stress.engine.object_layers import fill_holes


def test_the_background_is_the_filled_one_mirrored(keeps_the_object, pictures, stacked):
    found = keeps_the_object(BackgroundMirror())
    expected = fill_holes(pictures.images, stacked)[..., torch.arange(47, -1, -1)]
    around = ~stacked.expand_as(found)
    assert torch.equal(found[around], expected[around])


def test_a_function_fills_what_is_behind_the_object(pictures, masks, stacked):
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    edit = BackgroundMirror().with_masks(masks).with_inpainter(lambda images, holes: images * ~holes + red * holes)
    found = edit.apply(pictures, 1).images
    place = stacked.flip(3) & ~stacked
    assert torch.equal(found[:, 0][place[:, 0]], torch.ones(int(place.sum())))
    assert float(found[:, 1][place[:, 0]].max()) == 0
