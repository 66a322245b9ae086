"""Gratings and outlines by hand, and partners of other classes."""

import math

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.explain.biases.cue_sets import (
    close_ups,
    filled_outlines,
    gratings,
    other_classes,
    partners,
    textured_outlines,
)


def test_a_grating_repeats_after_its_period_and_turns_from_class_to_class():
    waves = gratings(6, 28, 28, period=4)
    assert waves.shape == (6, 1, 28, 28)
    assert torch.allclose(waves[0, 0, :, :-4], waves[0, 0, :, 4:], atol=1e-5)
    assert torch.allclose(waves[0, 0], waves[0, 0, :1].expand(28, -1))
    assert torch.allclose(waves[3, 0], waves[0, 0].T, atol=1e-5)
    assert float(waves.abs().max()) <= 1
    turned = torch.fft.rfft2(waves[1, 0]).abs()[:14]
    row, column = divmod(int(turned.argmax()), turned.shape[1])
    assert math.degrees(math.atan2(row, column)) == pytest.approx(30, abs=5)


def test_an_outline_is_grey_with_its_texture_inside_alone():
    outline = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    outline[..., 2:6, 2:6] = True
    found = textured_outlines(outline, torch.ones(1, 1, 8, 8), amplitude=0.1)
    assert found[outline].unique().tolist() == pytest.approx([0.85])
    assert found[~outline].unique().tolist() == [0.5]
    filled = filled_outlines(outline, torch.full((1, 1, 8, 8), 0.25), tiles=4)
    assert (filled[outline].unique().tolist(), filled[~outline].unique().tolist()) == ([0.25], [0.5])


def test_a_close_up_shows_the_object_alone():
    images = torch.full((2, 3, 12, 12), 0.9)
    outlines = torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    outlines[0, :, 2:6, 3:9] = True
    images[0, :, 2:6, 3:9] = 0.3
    found = close_ups(images, outlines)
    assert torch.allclose(found[0], torch.full_like(found[0], 0.3))
    assert torch.equal(found[1], images[1])


def test_other_classes_are_others_and_all_of_them():
    labels = torch.arange(4).repeat(50)
    drawn = other_classes(labels, 4, SampleRng.of(0, "t", [str(i) for i in range(200)]))
    assert not bool((drawn == labels).any())
    assert set(zip(labels.tolist(), drawn.tolist(), strict=True)) == {
        (a, b) for a in range(4) for b in range(4) if a != b
    }


def test_partners_are_of_another_class_and_most_samples_are_one():
    labels = np.random.default_rng(0).integers(-1, 4, 400)
    found = partners(labels, 1)
    known = labels >= 0
    assert (labels[found] != labels)[known].all()
    assert (labels[found[known]] >= 0).all()
    assert len(np.unique(found[known])) > known.sum() / 2
    same = partners(labels, 1, same=True)
    assert (labels[same] == labels)[known].all()
    assert (same != np.arange(400))[known].all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gratings(2, 8, 8, period=2), ParameterError, "choose one above 2 px"),
        (lambda: other_classes(torch.zeros(3).long(), 1, SampleRng.of(0, "t", "abc")), DataError, "give two at least"),
        (lambda: partners(np.zeros(4, int), 0), DataError, "all images are of one class"),
    ],
)
def test_cues_that_cannot_conflict_are_one_line(call, error, message):
    with pytest.raises(error, match=message):
        call()
