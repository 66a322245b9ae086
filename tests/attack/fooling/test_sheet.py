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
