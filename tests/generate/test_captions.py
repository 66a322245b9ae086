"""Captions: uniform over templates, fixed by the seed, plain text alone."""

from __future__ import annotations

from collections import Counter

import pytest

from unshaken.core.errors import ParameterError
from unshaken.generate.captions import draw_captions

EIGHTY = [f"template {i:02} of a {{}}" for i in range(80)]


def test_each_of_80_templates_is_drawn_about_16_times_in_1300():
    captions = draw_captions(["crane"], [0] * 1300, EIGHTY, seed=2)
    uses = Counter(captions)
    assert len(uses) == 80
    chi = sum((n - 16.25) ** 2 / 16.25 for n in uses.values())
    assert 40 < chi < 130  # 79 degrees of freedom
    assert captions == draw_captions(["crane"], [0] * 1300, EIGHTY, seed=2)
    assert captions[700:710] == draw_captions(["crane"], [0] * 10, EIGHTY, seed=2, first=700)
    assert captions != draw_captions(["crane"], [0] * 1300, EIGHTY, seed=3)


def test_names_with_braces_are_text():
    assert draw_captions(["{0.__class__}"], [0]) == ["a photo of a {0.__class__}"]
    assert draw_captions(["a"], []) == []


@pytest.mark.parametrize(
    ("labels", "templates", "message"),
    [([0], [], "each needs"), ([0], ["a photo"], "each needs"), ([0], ["{} {}"], "each needs"), ([1], ["{}"], "0..0")],
)
def test_bad_input(labels, templates, message):
    with pytest.raises(ParameterError, match=message):
        draw_captions(["a"], labels, templates)
