"""Arrays and tensors: shapes, ranges and labels, told apart only where they leave no doubt."""

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.data import BadSample, from_arrays


@pytest.fixture
def pixels(make):
    return np.stack([make.noise(6, 5, seed=i) for i in range(4)])


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "float16"])
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_every_form_holds_the_same_pixels(pixels, kind, tensor, first):
    given = pixels if kind == "uint8" else (pixels.astype(np.float64) / 255).astype(kind)
    given = given.transpose(0, 3, 1, 2) if first else given
    data = from_arrays(torch.from_numpy(given.copy()) if tensor else given, [0, 1, 1, 0])
    assert (data.read(2) == pixels[2]).all()
    assert (data.labels.tolist(), data.ids) == ([0, 1, 1, 0], ("0", "1", "2", "3"))


def test_grayscale_needs_no_channel(pixels):
    assert (from_arrays(pixels[..., 0], [0, 0, 1, 1]).read(1)[..., 0] == pixels[1, ..., 0]).all()
    assert (from_arrays(pixels[..., :1], [0, 0, 1, 1]).read(1) == pixels[1, ..., :1]).all()


@pytest.mark.parametrize("labels", [["b", "a", "b", "b"], np.array(["b", "a", "b", "b"])])
def test_names_become_classes(pixels, labels):
    data = from_arrays(pixels, labels)
    assert (data.classes, data.labels.tolist()) == (("a", "b"), [1, 0, 1, 1])


def test_whole_floats_and_columns_are_labels(pixels):
    assert from_arrays(pixels, torch.tensor([[0.0], [1.0], [2.0], [0.0]])).labels.tolist() == [0, 1, 2, 0]


def test_an_image_that_is_not_finite_is_bad_and_the_others_are_not(pixels):
    floats = pixels / 255
    floats[1, 0, 0, 0] = np.nan
    data = from_arrays(floats, [0, 1, 0, 1])
    assert data.bad == {1: "the image has values that are not finite"}
    assert (data.read(2) == pixels[2]).all()
    with pytest.raises(BadSample, match="not finite"):
        data.read(1)


def test_rounding_to_8_bits_is_said():
    with pytest.warns(UserWarning, match="rounded to 8 bits"):
        from_arrays(np.full((2, 3, 8, 8), 0.5), [0, 1])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 3, 8, 3), r"shape \(4, 3, 8, 3\) may be \[N, C, H, W\] or \[N, H, W, C\]: say which"),
        ((4, 8, 8, 4), "neither grayscale nor RGB"),
        ((4, 8), r"images have the shape \(4, 8\): give"),
        ((3, 8, 8), "there are 3 images"),
    ],
)
def test_a_shape_in_doubt_is_asked_about(shape, message):
    with pytest.raises(DataError, match=message) as error:
        from_arrays(np.zeros(shape, np.uint8), [0, 1, 0, 1])
    assert "\n" not in str(error.value)


def test_the_layout_can_be_said():
    images = np.zeros((2, 3, 8, 3), np.uint8)
    assert from_arrays(images, layout="NCHW").images.shape == (2, 3, 8, 3)
    assert from_arrays(images, layout="NHWC").images.shape == (2, 3, 3, 8)
    with pytest.raises(DataError, match="layout 'HWC' is not one of NCHW, NHWC"):
        from_arrays(images, layout="HWC")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((2, 8, 8, 3), 200.0), r"from 200 to 200, not in \[0, 1\]: divide them by 255"),
        (np.linspace(-2, 2, 384).reshape(2, 8, 8, 3), "from -2 to 2, .* undo the normalisation"),
        (np.zeros((2, 8, 8, 3), np.int64), "images of type int64 have no agreed range"),
        (np.zeros((2, 8, 8, 3), bool), "images of type bool are no pixels"),
        (["cat.png", "dog.png"], "images have the shape"),
        ([[1, 2], [3]], "images of type list are no regular array"),
    ],
)
def test_pixels_of_another_range_are_refused(images, message):
    with pytest.raises(DataError, match=message) as error:
        from_arrays(images, [0, 1])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(4), r"labels have the shape \(4, 4\); .* for one-hot rows labels.argmax\(1\)"),
        ([0, 1], "but there are 4 images: give one label per image"),
        ([None, {}, [], 1], "labels of type list are no regular array"),
        ([{}] * 4, "labels of type struct<> are not integers or strings"),
        (np.array([1j] * 4), "labels of type complex128 such as '1j' are no class labels"),
    ],
)
def test_labels_that_are_no_classes_are_refused(pixels, labels, message):
    with pytest.raises(DataError, match=message) as error:
        from_arrays(pixels, labels)
    assert "\n" not in str(error.value)
