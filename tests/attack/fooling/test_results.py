"""Rows, the contact sheet and distances of fooling images, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import ImageFont

from unshaken.attack.fooling.base import FoolingImages
from unshaken.attack.fooling.results import contact_sheet, fitting, fooling_rows, nearest, picture, total_variation
from unshaken.core.part import Condition
from unshaken.store.tables import table_of


def rows_of(confidences):
    """One image a class, of these confidences."""
    odds = torch.tensor([math.log(c / (1 - c)) for c in confidences], dtype=torch.float64)
    k = len(confidences)
    found = FoolingImages(torch.zeros(k, 1, 4, 4, dtype=torch.uint8), odds, torch.arange(k), {})
    return fooling_rows(Condition("ascent", "ascent"), found, range(k), ["cat", "dog"])


def test_a_row_a_class_with_its_name_or_number():
    rows = table_of(rows_of([0.5, 0.7, 0.9])).to_pylist()
    assert [r["name"] for r in rows] == ["cat", "dog", "2"]
    assert [r["confidence"] for r in rows] == pytest.approx([0.5, 0.7, 0.9])
    assert [r["file"] for r in rows] == [f"{r['id']}.png" for r in rows]


def test_the_flag_names_the_classes_that_the_model_is_nearly_certain_of():
    (flag,) = rows_of([0.995, 0.5, 0.999]).flags
    assert (flag.name, flag.ids) == ("confident-on-nonsense", ("class-0000", "class-0002"))
    assert "2 of 3 classes" in flag.detail
    assert rows_of([0.98, 0.5]).flags == ()


def test_a_picture_has_the_pixels_of_the_image():
    grey = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 4)
    assert picture(grey).mode == "L"
    assert np.asarray(picture(grey)).tolist() == grey[0].tolist()
    colour = torch.arange(36, dtype=torch.uint8).reshape(3, 3, 4)
    assert picture(colour).mode == "RGB"
    assert np.asarray(picture(colour)).transpose(2, 0, 1).tolist() == colour.tolist()


def test_a_sheet_shows_every_image_in_its_place():
    images = torch.stack([torch.full((1, 4, 4), 20 * i, dtype=torch.uint8) for i in range(1, 8)])
    sheet = np.asarray(contact_sheet(images, [f"{i}\n0.5" for i in range(7)], columns=3, side=40))
    width, height = 48, 40 + 13 * 2 + 10
    assert sheet.shape == (height * 3 + 4, width * 3 + 8, 3)
    middles = [sheet[6 + 20 + height * (i // 3), 8 + 20 + width * (i % 3)].tolist() for i in range(7)]
    assert middles == [[20 * i] * 3 for i in range(1, 8)]
    caption = sheet[6 + 41 : 6 + 41 + 26, 8:48]
    assert int((caption < 128).sum()) > 10


def test_captions_that_are_too_wide_are_cut():
    font = ImageFont.load_default(size=10)
    assert fitting("ok", font, 100) == "ok"
    cut = fitting("a very long name of a class", font, 40)
    assert cut
    assert "a very long name of a class".startswith(cut)
    assert font.getlength(cut) <= 40


def test_five_images_a_row_are_shown_112_pixels_long():
    wide = torch.zeros(6, 1, 2, 4, dtype=torch.uint8)
    sheet = np.asarray(contact_sheet(wide, ["a"] * 6))
    assert sheet.shape == (2 * (56 + 13 + 10) + 4, 5 * (112 + 8) + 8, 3)
    dark = (sheet < 10).all(2)
    assert dark[6 : 6 + 56, 8 : 8 + 112].all()
    assert not dark[:6].any()
    assert not dark[:, :8].any()
    tall = np.asarray(contact_sheet(wide.transpose(2, 3)[:2], ["a\nb", "a"]))
    assert tall.shape == (112 + 2 * 13 + 10 + 4, 2 * (112 + 8) + 8, 3)
    assert (tall < 10).all(2)[6 : 6 + 112, 8 : 8 + 56].all()


def test_proxies_by_hand():
    image = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    assert total_variation(image).tolist() == [0.5]  # across (1 + 0) / 2, down (0.5 + 0.5) / 2
    assert total_variation(torch.zeros(2, 1, 1, 1)).tolist() == [0, 0]
    points, others = torch.tensor([[0.0, 0.0], [3.0, 3.0]]), torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert nearest(points, others).tolist() == [5, 1]


def test_variation_of_a_line_is_along_it_alone():
    line = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3)
    assert total_variation(line).tolist() == [0.75]
    assert total_variation(line.transpose(2, 3)).tolist() == [0.75]
