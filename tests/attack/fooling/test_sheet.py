import numpy as np
import torch
from PIL import ImageFont

from unshaken.attack.fooling.sheet import contact_sheet, fitting, picture


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
