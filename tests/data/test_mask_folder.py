"""Folders of images and masks: classes for each pixel, sizes, and each bad input in one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import unshaken
from unshaken.api.labels import find_labels
from unshaken.core.errors import DataError
from unshaken.data import load_data

MASK = np.array([[0, 0, 1, 2], [0, 255, 1, 2], [0, 0, 2, 2]], np.uint8)


def save(root, name, mask, image=None, *, mode=None, extension="png"):
    for folder in ("images", "masks"):
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
    if image is None:
        image = np.zeros((*np.shape(mask)[:2], 3), np.uint8)
    Image.fromarray(image).save(root / "images" / f"{name}.jpg")
    found = Image.fromarray(mask) if mode is None else Image.fromarray(mask).convert(mode)
    found.save(root / "masks" / f"{name}.{extension}")


def test_masks_lie_beside_images_under_their_names(tmp_path):
    save(tmp_path, "b", MASK)
    save(tmp_path, "deep/a", MASK[::-1].copy())
    data = load_data(f"masks:{tmp_path}")
    assert (data.ids, data.classes) == (("b.jpg", "deep/a.jpg"), ("0", "1", "2"))
    assert (data.labels == np.stack([MASK, MASK[::-1]])).all()
    assert data.read(0).shape == (3, 4, 3)
    before = data.fingerprint
    save(tmp_path, "b", np.where(MASK == 2, 1, MASK).astype(np.uint8))
    assert load_data(f"masks:{tmp_path}").fingerprint != before


def test_two_images_do_not_share_a_mask(tmp_path):
    save(tmp_path, "a", MASK)
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=r"images 'a\.jpg' and 'a\.png' would have one mask, a\.png; rename one"):
        load_data(f"masks:{tmp_path}")


def test_an_index_of_a_palette_is_a_class_and_so_is_a_number_of_16_bits(tmp_path):
    image = Image.fromarray(MASK)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255] + [0] * 759)
    save(tmp_path, "palette", MASK)
    image.save(tmp_path / "masks" / "palette.png")
    save(tmp_path, "wide", MASK.astype(np.uint16))
    save(tmp_path, "bits", MASK == 1)
    data = load_data(f"masks:{tmp_path}")
    assert data.ids == ("bits.jpg", "palette.jpg", "wide.jpg")
    assert (data.labels == np.stack([MASK == 1, MASK, MASK])).all()


def test_names_and_splits(tmp_path):
    save(tmp_path / "train", "a", MASK)
    (tmp_path / "train" / "classes.txt").write_text("ground\nroad\ncar\nsky\n")
    assert load_data(f"masks:{tmp_path}?split=train").classes == ("ground", "road", "car", "sky")
    (tmp_path / "names").write_text("x\ny\n")
    with pytest.raises(DataError, match=r"a\.jpg: its mask cannot be used: it has the value 2: write classes from"):
        load_data(f"masks:{tmp_path}?split=train&classes={tmp_path}/names")


def test_images_and_masks_are_resized_alike(tmp_path):
    mask = np.repeat(np.repeat(np.array([[0, 1, 2]], np.uint8), 8, 0), 4, 1)  # 8 x 12: stripes of 4
    save(tmp_path, "a", mask, np.repeat(mask[..., None] * 100, 3, 2))
    save(tmp_path, "b", np.ones((16, 16), np.uint8))
    with pytest.raises(DataError, match="images of several sizes, such as 12 x 8 and 16 x 16 pixels: bring"):
        load_data(f"masks:{tmp_path}")
    data = load_data(f"masks:{tmp_path}?size=4&mode=L")
    assert data.labels[0].tolist() == [[0, 1, 1, 2]] * 4
    pixels = data.read(0)
    assert pixels.shape == (4, 4, 1)
    assert abs(pixels[:, 1:3].astype(int) - 100).max() < 20


BROKEN = {
    "absent": "there is no mask absent.png",
    "large": "its mask cannot be used: it has 8 x 6 pixels, and its image 4 x 3",
    "colour": "its mask cannot be used: it is a picture of mode RGB: write one number a pixel, its class, as PNG",
    "lossy": "its mask cannot be used: JPEG does not keep values: write it as PNG",
    "torn": "its mask cannot be used: it cannot be decoded: ",
    "much": "its mask cannot be used: it has the value 254: write classes from 0 to 253, and 255 for a pixel",
    "wide": "its mask cannot be used: it has values from 0 to 300; they are 0 to 255",
}


def test_what_cannot_be_used_is_a_bad_sample_with_its_reason(tmp_path):
    for name in ("good", *BROKEN):
        save(tmp_path, name, MASK)
    masks = tmp_path / "masks"
    (masks / "absent.png").unlink()
    Image.fromarray(np.kron(MASK, np.ones((2, 2), np.uint8))).save(masks / "large.png")
    Image.fromarray(MASK).convert("RGB").save(masks / "colour.png")
    (masks / "lossy.png").unlink()
    Image.fromarray(MASK).save(masks / "lossy.jpg")
    (masks / "torn.png").write_bytes((masks / "good.png").read_bytes()[:50])
    Image.fromarray(np.where(MASK == 2, 254, MASK).astype(np.uint8)).save(masks / "much.png")
    Image.fromarray(np.where(MASK == 2, 300, 0).astype(np.uint16)).save(masks / "wide.png")
    data = load_data(f"masks:{tmp_path}")
    assert {data.ids[i].partition(".")[0] for i in data.bad} == set(BROKEN)
    for i, reason in data.bad.items():
        assert reason.startswith(BROKEN[data.ids[i].partition(".")[0]])
        assert (data.labels[i] == 255).all()
    assert (data.labels[data.ids.index("good.jpg")] == MASK).all()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda root: (root / "masks" / "a.png").rename(root / "masks" / "z.png"), "1 of 1 masks have no image"),
        (lambda root: Image.fromarray(MASK).save(root / "masks" / "a.bmp"), "are of one image; leave one of them"),
        (
            lambda root: save(root, "a", np.where(MASK == 1, 255, 0).astype(np.uint8)),
            r"the values \[0, 255\] alone",
        ),
        (lambda root: (root / "masks" / "a.png").unlink(), "none of its 1 images can be used; a.jpg: there is no mask"),
        (lambda root: (root / "images" / "a.jpg").unlink(), "no images in"),
        (lambda root: (root / "masks").rename(root / "labels"), "masks' cannot be opened"),
    ],
)
def test_a_folder_that_makes_no_sense_is_refused(tmp_path, spoil, why):
    save(tmp_path, "a", MASK)
    spoil(tmp_path)
    with pytest.raises(DataError, match=why) as error:
        load_data(f"masks:{tmp_path}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("option", ["noise=symmetric:0.2", "longtail=10", "labels=x.csv"])
def test_options_for_one_class_an_image_are_refused(tmp_path, option):
    save(tmp_path, "a", MASK)
    with pytest.raises(DataError, match=r"is labelled with masks: \w+ needs one class an image; leave it out"):
        load_data(f"masks:{tmp_path}?{option}")


def test_what_needs_one_class_an_image_says_so(tmp_path):
    save(tmp_path, "a", MASK)
    with pytest.raises(DataError, match="has masks as labels: give them by --kind masks --labels FILE"):
        find_labels(f"masks:{tmp_path}", out=tmp_path / "run")
    with pytest.raises(DataError, match=r"is labelled with masks.* one class an image is needed here"):
        unshaken.audit("demo", f"masks:{tmp_path}", plan=[], out=tmp_path / "run")


def test_adele_trains_on_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(24):
        mask = np.zeros((16, 16), np.uint8)
        mask[4:12, 4:12] = 1
        save(
            tmp_path / "data",
            f"{i:02d}",
            mask,
            (rng.integers(0, 60, (16, 16, 3)) + 150 * mask[..., None]).astype(np.uint8),
        )
    (tmp_path / "data" / "masks" / "03.png").unlink()
    options = {"epochs": 1, "batch_size": 8, "held_out": 4, "check_images": 4, "out": tmp_path / "run"}
    made = unshaken.harden("unet", f"masks:{tmp_path / 'data'}?size=8", "adele:scales=1", **options)
    assert [(one.id, one.reason) for one in made.bad_samples] == [("03.jpg", "there is no mask 03.png")]
    assert unshaken.load_model(f"run:{tmp_path / 'run'}").net is not None
