"""Pictures of samples as browsers show them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data.arrays import InMemory
from unshaken.data.dataset import BadSample
from unshaken.serve.images import Pictures


def decoded(picture):
    return Image.open(io.BytesIO(picture.data))


def counted(data):
    """Counts how often the samples of a data set are read."""
    reads = []
    read = data.read
    data.read = lambda row: (reads.append(row), read(row))[1]
    return reads


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_keeps_every_pixel(channels):
    pixels = torch.randint(0, 256, (2, channels, 9, 7), dtype=torch.uint8)
    picture = Pictures(InMemory(pixels)).picture("1", "thumbnail")
    assert picture.media_type == "image/png"
    found = np.asarray(decoded(picture)).reshape(9, 7, channels)
    assert np.array_equal(found, pixels[1].permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("use", "size"), [("thumbnail", (160, 80)), ("image", (400, 200))])
def test_a_large_image_is_made_smaller_and_never_larger(use, size):
    picture = Pictures(InMemory(torch.zeros(1, 3, 200, 400, dtype=torch.uint8))).picture("0", use)
    assert picture.media_type == "image/jpeg"
    assert decoded(picture).size == size


def test_the_tag_changes_with_the_picture():
    pictures = Pictures(InMemory(torch.arange(2, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 4, 4)))
    first, second = pictures.picture("0", "image"), pictures.picture("1", "image")
    assert first.tag != second.tag
    assert first.tag.startswith('"')


def test_a_picture_is_encoded_once_while_it_is_kept():
    data = InMemory(torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8))
    reads = counted(data)
    pictures = Pictures(data, most_bytes=2 * len(Pictures(data).picture("0", "image").data) + 900)
    reads.clear()
    for id in "0101201":
        pictures.picture(id, "image")
    assert reads == [0, 1, 2, 0, 1]  # room for two: the third takes the place of the one used longest ago


def test_an_unknown_or_bad_sample_is_an_error():
    pictures = Pictures(InMemory(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), bad={1: "truncated"}))
    with pytest.raises(DataError, match=r"has no sample '\.\./0'"):
        pictures.picture("../0", "image")
    with pytest.raises(BadSample, match="truncated"):
        pictures.picture("1", "image")


def test_a_browser_that_has_the_picture_gets_no_second_one(ann):
    path = "/reviews/night/items/1/image.img"
    first = ann.client.get(path)
    assert first.headers["content-type"] == "image/png"
    assert "private" in first.headers["cache-control"]
    second = ann.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (second.status_code, second.content) == (304, b"")


def test_the_picture_of_an_item_is_that_of_its_sample(ann, data):
    for item in (1, 5):
        found = Image.open(io.BytesIO(ann.client.get(f"/reviews/night/items/{item}/image.img").content))
        assert np.array_equal(np.asarray(found), data.read(item - 1))
    near = Image.open(io.BytesIO(ann.client.get("/reviews/night/items/1/near/given/2.img").content))
    assert np.array_equal(np.asarray(near), data.read(data.ids.index("dir/16.png") if "dir/16.png" in data.ids else 16))


def test_data_that_cannot_be_opened_costs_the_pictures_only(reviews):
    from starlette.testclient import TestClient

    from unshaken.serve.app import create_app
    from unshaken.serve.review.part import review_part

    with TestClient(create_app([review_part(reviews)], local="ann"), base_url="http://localhost") as client:
        assert client.get("/reviews/night/items/1/image.img").status_code == 404
        assert client.get("/reviews/night/items/1").status_code == 200


def test_a_picture_that_cannot_be_read_says_why(ann):
    answer = ann.client.get("/reviews/night/items/14/thumbnail.img")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "truncated" in answer.text
    assert "<script" not in answer.text
