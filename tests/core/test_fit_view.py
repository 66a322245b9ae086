"""Images in the form that a model takes: by hand on images of one colour."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.classifier import View, fit_view

COLOURS = torch.tensor([0.2, 0.4, 0.9])[None, :, None, None].expand(2, 3, 6, 4)


def test_a_model_without_a_view_takes_them_as_they_are():
    assert fit_view(COLOURS, None) is COLOURS


@pytest.mark.parametrize(("channels", "levels"), [(3, [0.2, 0.4, 0.9]), (1, [0.5])])
def test_size_and_channels_are_the_views(channels, levels):
    found = fit_view(COLOURS, View(channels=channels, height=3, width=8))
    assert found.shape == (2, channels, 3, 8)
    for place, level in enumerate(levels):
        assert found[:, place].flatten() == pytest.approx(level, abs=1e-6)


def test_grey_images_are_repeated_over_the_colours():
    found = fit_view(COLOURS[:, :1], View(channels=3, height=6, width=4))
    assert torch.equal(found, COLOURS[:, :1].expand(-1, 3, -1, -1))
