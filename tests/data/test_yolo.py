"""Objects in YOLO's form: what is read, and what is told of files that are wrong."""

import unicodedata

import pytest
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data import load_data

LINE = "1 0.5 0.5 0.5 0.25"


def photo(path, size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """Three photos: with two objects, with an empty file, and without a file."""
    for name in ("a.png", "b.png", "c.png"):
        photo(tmp_path / "images" / name)
    write(tmp_path / "labels" / "a.txt", f"{LINE}\n\n0 0.25 0.5 0.5 1\n")
    write(tmp_path / "labels" / "b.txt", "")
    write(tmp_path / "classes.txt", "cat\ndog\n")
    return tmp_path


def objects(data):
    return [one[one[:, 4] >= 0].tolist() for one in data.boxes.objects(data, range(len(data)), None)]


def test_lines_become_objects_and_images_without_stay(folder):
    data = load_data(f"yolo:{folder}")
    assert data.ids == ("a.png", "b.png", "c.png")
    assert data.classes == ("cat", "dog")
    assert data.labels is None
    assert objects(data) == [[[10, 7.5, 30, 12.5, 1, 0, 100], [0, 0, 20, 20, 0, 0, 400]], [], []]


@pytest.mark.parametrize("layout", ["images/train", "train/images"])
def test_a_split_is_a_folder_within_both_or_holds_the_two(tmp_path, layout):
    photo(tmp_path / layout / "deep" / "a.png")
    write(tmp_path / layout.replace("images", "labels") / "deep" / "a.txt", LINE)
    write(tmp_path / "data.yaml", "path: ../elsewhere\ntrain: /etc\nnames:\n  0: cat\n  1: 3\n")
    data = load_data(f"yolo:{tmp_path}?split=train")
    assert (data.ids, data.classes) == (("deep/a.png",), ("cat", "3"))
    assert len(objects(data)[0]) == 1


def test_splits_are_to_be_chosen_from(tmp_path):
    for split in ("train", "val"):
        photo(tmp_path / "images" / split / "a.png")
        write(tmp_path / "labels" / split / "a.txt", LINE)
    with pytest.raises(DataError, match=r"'images' holds the splits \['train', 'val'\]; choose one: \?split=train"):
        load_data(f"yolo:{tmp_path}")


def test_names_of_classes(folder):
    write(folder / "mine.txt", "Katze\nHund\n")
    assert load_data(f"yolo:{folder}?classes={folder / 'mine.txt'}").classes == ("Katze", "Hund")
    write(folder / "data.yaml", "nc: 2\nnames: [chat, chien]\n")
    assert load_data(f"yolo:{folder}").classes == ("chat", "chien")
    (folder / "data.yaml").unlink()
    (folder / "classes.txt").rename(folder / "labels" / "classes.txt")
    assert load_data(f"yolo:{folder}").classes == ("cat", "dog")
    (folder / "labels" / "classes.txt").unlink()
    assert load_data(f"yolo:{folder}").classes == ("0", "1")


def test_names_of_any_script(folder):
    photo(folder / "images" / unicodedata.normalize("NFD", "été 写真.v1.png"))
    write(folder / "labels" / (unicodedata.normalize("NFC", "été 写真.v1") + ".txt"), LINE)
    write(folder / "labels" / "classes.txt", "cat\ndog\n")
    assert len(load_data(f"yolo:{folder}").boxes.ids) == 3


BAD = {
    "four numbers": ("1 0.5 0.5 0.5", "line 2: 4 values, not the five values class, x, y, w, h"),
    "a probability": ("1 0.5 0.5 0.5 0.5 0.9", "line 2: 6 values"),
    "a polygon": ("1 0.1 0.1 0.9 0.1 0.9 0.9", "line 2: a polygon, not the five values"),
    "text": ("dog 0.5 0.5 0.5 0.5", "line 2: 'dog' is not a whole number from 0 to 1"),
    "class beyond": ("2 0.5 0.5 0.5 0.5", "line 2: '2' is out of range: write a whole number from 0 to 1"),
    "class below": ("-1 0.5 0.5 0.5 0.5", "'-1' is out of range"),
    "class with a point": ("1.0 0.5 0.5 0.5 0.5", "'1.0' is not a whole number"),
    "digits of another script": ("1 ٠.٥ 0.5 0.5 0.5", "is not a number"),
    "NaN": ("1 nan 0.5 0.5 0.5", "'nan' is not a number"),
    "infinite": ("1 1e999 0.5 0.5 0.5", "is not a number"),
    "empty": ("1 0.5 0.5 0 0.5", "line 2: its box is empty: its width or height is 0; write lines of class"),
    "inverted": ("1 0.5 0.5 -0.5 0.5", "has a width or height below 0"),
    "outside": ("1 1.5 0.5 0.5 0.5", "lies outside of its photo"),
    "pixels": ("1 20 10 20 10", "is more than twice as large as its photo"),
    "commas": ("1,0.5,0.5,0.5,0.5", "1 values"),
    "long": ("1 0.5 0.5 0.5 " + "9" * 5000, "(5000 characters) is not a number"),
}


@pytest.mark.parametrize(("line", "why"), BAD.values(), ids=BAD)
def test_a_line_that_cannot_be_used_makes_its_image_a_bad_sample(folder, line, why):
    write(folder / "labels" / "a.txt", f"{LINE}\n{line}\n")
    write(folder / "labels" / "b.txt", LINE)
    data = load_data(f"yolo:{folder}")
    assert list(data.bad) == [0]
    assert why in data.bad[0]
    assert data.bad[0].startswith("its labels a.txt, line ")
    assert list(data.boxes.ids) == ["b.png"]


def test_files_that_are_no_text_make_their_image_a_bad_sample(folder, tmp_path_factory):
    write(folder / "labels" / "b.txt", LINE)
    (folder / "labels" / "a.txt").write_bytes(b"\xff\xfe1\x00")
    assert "its labels a.txt cannot be read: 'utf-8' codec" in load_data(f"yolo:{folder}").bad[0]
    (folder / "labels" / "a.txt").write_bytes(b"\n" * ((1 << 20) + 1))
    assert "it has more than 1 MiB" in load_data(f"yolo:{folder}").bad[0]
    outside = tmp_path_factory.mktemp("outside") / "passwords.txt"
    outside.write_text("hunter2")
    (folder / "labels" / "a.txt").unlink()
    (folder / "labels" / "a.txt").symlink_to(outside)
    assert "symbolic link out of their folder" in load_data(f"yolo:{folder}").bad[0]


@pytest.mark.parametrize(
    ("files", "option", "why"),
    [
        ({"labels/x.txt": LINE}, "", "1 files of labels have no image, such as 'x.txt'; call a file in 'labels'"),
        ({"images/a.jpg": None}, "", "the images 'a.jpg' and 'a.png' have one file of labels"),
        ({"labels/a.txt": ""}, "", "has no objects: nothing says what is in its 3 images"),
        ({"labels/a.txt": "5 0.5 0.5 0.5 0.5"}, "", "none of its images with objects can be used; a.png: its labels"),
        ({"labels/a.txt": "0 0.9 0.9 0.5 0.5\n" * 12}, "", "12 of 12 boxes leave their photos; write lines of class"),
        ({"classes.txt": ""}, "", "holds no class names"),
        ({"data.yaml": "nc: 2"}, "", "data.yaml has no names of the classes: write names as a list"),
        ({"data.yaml": "names: {1: a, 2: b}"}, "", "has no names of the classes"),
        ({"data.yaml": "names: [a, [b]]"}, "", "has no names of the classes"),
        ({"data.yaml": "names: !!python/object:os.system x"}, "", "is not valid YAML: the tag"),
        ({"data.yaml": "[" * 200}, "", "levels deep; write it flatter"),
        ({}, "?split=val", "images/val' cannot be opened: No such file"),
        ({}, "?split=../x", "must be the name of a folder"),
        ({}, "?classes=absent.txt", "class names in 'absent.txt' cannot be read"),
        ({}, "?images=x", "has no option 'images'"),
    ],
)
def test_a_folder_that_is_wrong_is_told_in_one_line(folder, files, option, why):
    for name, text in files.items():
        photo(folder / name) if text is None else write(folder / name, text)
    with pytest.raises(DataError, match="(?s)" + why.replace("?", r"\?")) as caught:
        load_data(f"yolo:{folder}{option}")
    assert "\n" not in str(caught.value)


def test_a_folder_without_labels_is_told(tmp_path):
    photo(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match="labels' cannot be opened"):
        load_data(f"yolo:{tmp_path}")
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match=r"no files of labels in .*; write one \.txt for each image"):
        load_data(f"yolo:{tmp_path}")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DataError, match="no images in"):
        load_data(f"yolo:{tmp_path}")
