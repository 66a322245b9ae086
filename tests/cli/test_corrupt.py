"""`unshaken corrupt`: files in a published layout, which are data again."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.data import load_data


def test_arrays_are_written_and_read_as_data(unshaken, place):
    made = unshaken("corrupt --data folder:photos --out files --corruption fog --corruption contrast --limit 4")
    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines() == [
        "files: files (4 images, 2 corruptions at 5 severities)",
        "read them as cifar-c:files?clean=folder:photos",
    ]
    assert np.load(place / "files/fog.npy").shape == (20, 8, 8, 3)
    part = load_data(f"cifar-c:{place}/files?corruption=fog&severity=2")
    assert (len(part), part.read(0).shape) == (4, (8, 8, 3))


def test_photos_are_written_in_class_folders(unshaken, place):
    made = unshaken("corrupt --data folder:photos?size=8 --layout imagenet-c --out files --corruption contrast")
    assert (made.code, made.err) == (0, "")
    data = load_data(f"imagenet-c:{place}/files?clean=folder:{place}/photos")
    assert data.ids == load_data(f"folder:{place}/photos").ids


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--layout tar", "--layout 'tar' is not one of cifar-c, imagenet-c"),
        ("--corruption fgo", "fog"),
        ("--folders names.txt", "only the layout imagenet-c"),
    ],
)
def test_wrong_use_is_one_line(unshaken, place, words, told):
    made = unshaken(f"corrupt --data folder:photos --out files {words}")
    assert made.code == 2
    assert told in made.err
    assert made.err.count("\n") == 1
    assert not (place / "files").exists()
