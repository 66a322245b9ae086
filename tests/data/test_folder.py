"""Folders of images."""

import io
import os
import shlex
import sys
import time
import unicodedata

import numpy as np
import pytest
from PIL import Image, features

from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data
from unshaken.data.folder import HEAD, format_of_file, image_format


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
    ("names", "inner"),
    [
        (("imgs/cat/1.png", "imgs/dog/1.png"), "imgs"),
        (("a/b/cat/1.png", "a/b/dog/1.png", "a/b/dog/2.png"), "a/b"),
        (("data/train/cat/1.png", "data/test/cat/1.png"), "data?split=test"),
    ],
)
def test_folders_of_classes_that_lie_deeper_are_named(tmp_path, names, inner):
    spec = fill(tmp_path, *names)
    with pytest.raises(DataError, match="would be the only class") as caught:
        load_data(spec)
    assert f"{spec}/{inner}" in str(caught.value).replace("'", "")
    assert len(load_data(f"{spec}/{inner}")) == (1 if "?" in inner else len(names))
    (tmp_path.parent / "classes.txt").write_text(names[0].partition("/")[0])
    assert len(load_data(f"{spec}?classes={tmp_path.parent / 'classes.txt'}").classes) == 1


def test_one_class_may_have_one_folder_inside(tmp_path):
    assert load_data(fill(tmp_path, "cat/more/1.png", "cat/more/2.png")).classes == ("cat",)
    (tmp_path / "dog").mkdir()
    assert load_data(fill(tmp_path, "cat/other/1.png")).classes == ("cat", "dog")


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
    assert set(reasons) == {"out.png", "sibling.png", "gone.png"}
    message = (
        f"its symbolic link leaves the data folder; to follow links into {tmp_path} write '{spec}?links={tmp_path}'"
    )
    assert reasons["out.png"] == reasons["sibling.png"] == message
    assert "leads to a file that does not exist" in reasons["gone.png"]
    with pytest.raises(BadSample, match=r"x/out\.png: its symbolic link leaves") as error:
        found.read(3)
    assert error.value.id == "x/out.png"


def test_a_linked_folder_is_followed_where_the_user_says_so(tmp_path):
    spec = fill(tmp_path / "root", "x/a.png")
    (tmp_path / "root/y").symlink_to(tmp_path / "root/x")
    with pytest.raises(DataError, match=r"the folder 'y' is a symbolic link; to follow it write .*\?links=follow"):
        load_data(spec)
    assert load_data(f"{spec}?links=follow").ids == ("x/a.png", "y/a.png")
    fill(tmp_path / "elsewhere", "b.png")
    (tmp_path / "root/z").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="'z' is a symbolic link out of the data folder") as error:
        load_data(f"{spec}?links=follow")
    (advised,) = shlex.split(str(error.value).rpartition(" write ")[2])
    assert load_data(advised).ids == ("x/a.png", "y/a.png", "z/b.png")


def test_a_data_folder_of_links_into_a_cache_is_read(tmp_path, make):
    """As DVC and the cache of the Hugging Face hub leave one."""
    cache, root = tmp_path / "cache/md5", tmp_path / "photos"
    for i, name in enumerate(("cat/1.png", "cat/2.png", "dog/3.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        fill(cache, f"{i}{i}/abc{i}", data=make.encode(make.noise(seed=i)))
        (root / name).symlink_to(os.path.relpath(cache / f"{i}{i}/abc{i}", (root / name).parent))
    refused = load_data(f"folder:{root}")
    assert len(refused.bad) == 3
    (advised,) = shlex.split(refused.bad[0].rpartition(" write ")[2])
    assert advised == f"folder:{root}?links={cache}"
    found = load_data(advised)
    assert (found.bad, found.labels.tolist()) == ({}, [0, 0, 1])
    assert (found.read(2) == make.noise(seed=2)).all()
    with pytest.raises(DataError, match="folder 'nowhere' cannot be opened"):
        load_data(f"folder:{root}?links=nowhere")
    (root / "cat/2.png").unlink()
    (root / "cat/2.png").symlink_to("/etc/passwd")
    assert list(load_data(advised).bad) == [1]


def test_a_link_to_a_folder_above_is_refused(tmp_path):
    spec = fill(tmp_path, "x/a.png")
    (tmp_path / "x/up").symlink_to(tmp_path)
    with pytest.raises(DataError, match="'x/up' is a symbolic link"):
        load_data(f"{spec}?links={tmp_path.parent}")


def test_a_link_changed_after_the_listing_shows_nothing_else(tmp_path, make):
    secret = tmp_path / "secret.png"
    secret.write_bytes(make.encode(make.noise(seed=1)))
    spec = fill(tmp_path / "root", "x/a.png", data=make.encode(make.noise(seed=2)))
    link = tmp_path / "root/x/b.png"
    link.symlink_to("a.png")
    found = load_data(spec)
    link.unlink()
    link.symlink_to(secret)
    assert (found.read(1) == make.noise(seed=2)).all()


def test_images_that_cannot_be_read_are_left_out_with_their_reason(tmp_path, make):
    png, heic = make.encode(make.noise(4, 5)), b"\0\0\0\x18ftypheic" + bytes(100)
    spec = fill(tmp_path, "x/a.png", "x/0a1b", data=png)
    fill(tmp_path, "x/photo.HEIC", "x/9f", data=heic)
    fill(tmp_path, "x/LICENSE", "x/notes.md", "x/table.csv", data=b"Copyright")
    fill(tmp_path, "x/lfs", data=b"version https://git-lfs.github.com/spec/v1\n")
    found = load_data(spec)
    assert found.ids == ("x/0a1b", "x/9f", "x/a.png", "x/lfs", "x/photo.HEIC")
    reason = "HEIC images are not read: convert it to PNG or JPEG"
    assert found.bad == {1: reason, 4: reason}
    assert (found.read(0) == make.noise(4, 5)).all()
    with pytest.raises(BadSample, match="git lfs pull"):
        found.read(3)


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


@pytest.mark.skipif(sys.platform != "linux", reason="paths are shorter, or two forms of a letter are one name")
def test_long_and_foreign_names_are_ids(tmp_path, make):
    twins = [unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD")]
    names = ["x" * 251 + ".png", "é" * 125 + "x.png", "写真.png", "صورة.png", "😀.png", "d/" * 200 + "deep.png", *twins]
    ids = {f"a/{name}" for name in names} | {"b/1.png"}
    found = load_data(fill(tmp_path, *ids, data=make.encode(make.noise())))
    assert set(found.ids) == ids
    assert all((found.read(i) == make.noise()).all() for i in range(len(ids)))


@pytest.mark.skipif(sys.platform != "linux", reason="paths are shorter")
def test_a_path_that_is_too_long_is_said(tmp_path, monkeypatch):
    spec = fill(tmp_path, "a/1.png", "b/1.png")
    monkeypatch.chdir(tmp_path / "a")
    for _ in range(20):  # no path is this long, but a folder may be entered step by step
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        load_data(spec)
