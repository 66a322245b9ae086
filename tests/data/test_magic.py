"""Formats by first bytes, against what Pillow writes."""

import io

import pytest
from PIL import Image, features

from unshaken.data.magic import HEAD, format_of_file, image_format


@pytest.mark.parametrize(
    ("form", "name"),
    [("PNG", "PNG"), ("JPEG", "JPEG"), ("GIF", "GIF"), ("BMP", "BMP"), ("TIFF", "TIFF"), ("PPM", "PNM"),
     ("WEBP", "WebP"), ("AVIF", "AVIF"), ("JPEG2000", "JPEG 2000")],
)  # fmt: skip
def test_what_pillow_writes_is_known(form, name):
    if form == "AVIF" and not features.check("avif"):
        return
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, form)
    assert image_format(file.getvalue()[:HEAD]) == name


@pytest.mark.parametrize("head", [b"", b"BM", b"BMW is a car maker", b"P1 is a number", b"RIFF", b"#!/bin/sh"])
def test_other_files_are_no_images(head):
    assert image_format(head) is None


def test_a_file_that_is_absent_has_no_format(tmp_path):
    assert format_of_file(tmp_path / "none") is None
