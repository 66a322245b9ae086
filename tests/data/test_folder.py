"""Folders of images."""

import os
import time

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data


def fill(root, *names, data=b""):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return f"folder:{root}"


def test_a_folder_a_class(tmp_path, make):
    data = make.encode(make.noise(4, 5, seed=3))
    spec = fill(tmp_path, "dog/b.png", "dog/A.PNG", "cat/deep/er/x.png", "cat/notes.txt", ".git/y.png", data=data)
    (tmp_path / "bird").mkdir()
    fill(tmp_path, "README.md", "dog/.hidden.png")
    found = load_data(spec)
    assert found.ids == ("cat/deep/er/x.png", "dog/A.PNG", "dog/b.png")
    assert found.classes == ("bird", "cat", "dog")
    assert found.labels.tolist() == [1, 2, 2]
    assert found.root == str(tmp_path.resolve())
    assert (found.read(2) == make.noise(4, 5, seed=3)).all()


def test_loose_images_have_no_labels(tmp_path):
    found = load_data(fill(tmp_path, "b.jpg", "a.webp", "c.json"))
    assert (found.ids, found.labels, found.classes) == (("a.webp", "b.jpg"), None, ())


def test_split_is_a_folder_inside(tmp_path):
    spec = fill(tmp_path, "train/x/1.png", "val/x/2.png")
    assert load_data(f"{spec}?split=val").ids == ("x/2.png",)
    with pytest.raises(DataError, match=r"\['train', 'val'\] look like splits; choose one: \?split=train"):
        load_data(spec)
    for split, message in [
        ("test", "No such file"),
        ("..", "must be the name of a folder"),
        ("a/b", "must be the name"),
    ]:
        with pytest.raises(DataError, match=message):
            load_data(f"{spec}?split={split}")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("notes.txt", "x/a.npy"), r"no images in .*; looked for .*\.jpeg .*\.png"),
        (("a.png", "x/b.png"), "1 loose images such as 'a.png' stand beside folders such as 'x'"),
    ],
)
def test_a_folder_that_makes_no_sense_is_refused(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        load_data(fill(tmp_path, *names))


def test_a_link_out_of_the_folder_is_bad_and_one_inside_is_not(tmp_path, make):
    secret = tmp_path / "secret.png"
    secret.write_bytes(make.encode(make.noise()))
    spec = fill(tmp_path / "root", "x/a.png", data=secret.read_bytes())
    for name, target in (("out", secret), ("sibling", tmp_path / "root-2.png"), ("in", "a.png"), ("gone", "none.png")):
        (tmp_path / "root/x" / f"{name}.png").symlink_to(target)
    (tmp_path / "root-2.png").write_bytes(secret.read_bytes())
    found = load_data(spec)
    assert found.ids == ("x/a.png", "x/gone.png", "x/in.png", "x/out.png", "x/sibling.png")
    assert (found.read(2) == make.noise()).all()
    reasons = {found.ids[i].partition("/")[2]: reason for i, reason in found.bad.items()}
    assert reasons["out.png"] == reasons["sibling.png"] == "the symbolic link leaves the data folder"
    assert "cannot be read" in reasons["gone.png"] or "leaves" in reasons["gone.png"]
    with pytest.raises(BadSample, match=r"x/out\.png: the symbolic link leaves") as error:
        found.read(3)
    assert error.value.id == "x/out.png"


def test_a_linked_folder_is_refused(tmp_path):
    spec = fill(tmp_path, "x/a.png")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    with pytest.raises(DataError, match="the folder 'y' is a symbolic link"):
        load_data(spec)


def test_a_name_that_is_no_utf8_gets_a_clean_id(tmp_path):
    (tmp_path / "x").mkdir()
    with open(os.fsencode(tmp_path) + b"/x/\xff.png", "wb"):
        pass
    found = load_data(f"folder:{tmp_path}")
    assert found.ids == ("x/\\xff.png",)
    with pytest.raises(BadSample, match="empty"):
        found.read(0)


def test_the_fingerprint_follows_the_content(tmp_path):
    spec = fill(tmp_path, "x/a.png", "x/b.png")
    before = load_data(spec).fingerprint
    assert load_data(spec).fingerprint == before
    assert len(before) == 32
    os.utime(tmp_path / "x/a.png", ns=(1, 1))
    changed = load_data(spec).fingerprint
    (tmp_path / "x/b.png").rename(tmp_path / "x/c.png")
    renamed = load_data(spec).fingerprint
    resized = load_data(f"{spec}?size=8").fingerprint
    assert len({before, changed, renamed, resized}) == 4


def test_listing_is_quick(tmp_path):
    (tmp_path / "x").mkdir()
    for i in range(5000):
        os.close(os.open(tmp_path / f"x/{i}.png", os.O_CREAT))
    began = time.perf_counter()
    found = load_data(f"folder:{tmp_path}")
    assert found.fingerprint
    assert time.perf_counter() - began < 2.5  # 100,000 files in less than 50 s on a slow, busy machine
    assert np.bincount(found.labels).tolist() == [5000]
