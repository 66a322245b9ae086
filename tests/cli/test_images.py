"""`unshaken corrupt` and `unshaken fool`: images as files, and a record that they reload to."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.data import load_data
from unshaken.models import load_model


def test_arrays_are_written_and_read_as_data(unshaken, place):
    made = unshaken("corrupt --data folder:photos --out files --method fog --method contrast --limit 4")
    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines() == [
        "files: files (4 images, 2 corruptions at 5 severities)",
        "read them as cifar-c:files?clean=folder:photos",
    ]
    assert np.load(place / "files/fog.npy").shape == (20, 8, 8, 3)
    part = load_data(f"cifar-c:{place}/files?corruption=fog&severity=2")
    assert (len(part), part.read(0).shape) == (4, (8, 8, 3))


def test_photos_are_written_in_class_folders(unshaken, place):
    made = unshaken("corrupt --data folder:photos?size=8 --layout imagenet-c --out files --method contrast")
    assert (made.code, made.err) == (0, "")
    data = load_data(f"imagenet-c:{place}/files?clean=folder:{place}/photos")
    assert data.ids == load_data(f"folder:{place}/photos").ids


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--layout tar", "--layout 'tar' is not one of cifar-c, imagenet-c"),
        ("--method fgo", "fog"),
        ("--folders names.txt", "only the layout imagenet-c"),
    ],
)
def test_wrong_use_is_one_line(unshaken, place, words, told):
    made = unshaken(f"corrupt --data folder:photos --out files {words}")
    assert made.code == 2
    assert told in made.err
    assert made.err.count("\n") == 1
    assert not (place / "files").exists()


NET = "py:net.py:build?size=6&channels=3"

RANGE, SEE = "is out of range: write a whole number from", "; see unshaken fool --help"


def reloaded(folder, spec):
    document = json.loads((folder / "fooling.json").read_text())
    model = load_model(spec)
    for record in document["images"]:
        pixels = np.array(Image.open(folder / record["file"]), np.float32) / 255
        image = torch.from_numpy(pixels.transpose(2, 0, 1))[None]
        with torch.no_grad():
            yield record, float(model(image).double().softmax(1)[0, record["class"]])


@pytest.mark.parametrize("encoding", ["ascent", "direct", "cppn"])
def test_images_reload_to_the_recorded_confidence(unshaken, place, encoding):
    line = f"fool --model '{NET}' --method {encoding} --generations 8 --population 10 --seed 3 --out new --json"
    result = unshaken(line)
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert document == json.loads((place / "new/fooling.json").read_text())
    assert (document["model"], document["method"], document["seed"]) == (NET, encoding, 3)
    assert [r["class"] for r in document["images"]] == [0, 1]
    for record, confidence in reloaded(place / "new", NET):
        assert confidence == pytest.approx(record["confidence"], rel=1e-5)
        assert confidence > 0.5
    if encoding == "ascent":
        assert document["backwards"] == 2 * 8
    else:
        assert document["history"][-1]["evaluations"] == 80
        assert document["forwards"] == 80 + 1  # and one to count the classes
    sheet = np.asarray(Image.open(place / "new/sheet.png"))
    assert sheet.shape == (112 + 13 * 2 + 10 + 4, 120 * 2 + 8, 3)


def test_a_table_and_the_sheet_are_shown(unshaken, place):
    result = unshaken(f"fool --model '{NET}' --classes 1 --generations 3 --population 4 --out new")
    assert result.code == 0
    assert "class-0001.png" in result.out
    assert result.out.endswith("sheet: new/sheet.png\n")
    files = ["class-0001.png", "fooling.json", "report.html", "report.md", "rows", "sheet.png"]
    assert sorted(p.name for p in (place / "new").iterdir()) == files
    asked = unshaken("query new 'select f.file, c.forwards from fooling f, cost c' --csv")
    document = json.loads((place / "new/fooling.json").read_text())
    assert asked.out == f"file,forwards\nclass-0001.png,{document['forwards']}\n"
    (place / "new/report.md").unlink()
    assert unshaken("report new").code == 0
    assert "class-0001.png" in (place / "new/report.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--method pixels", "no fooling search 'pixels'; known: ascent, cppn, direct"),
        (
            "--generations 0",
            f"Invalid value for '--generations': '0' {RANGE} 1 to 10,000,000{SEE}",
        ),
        (
            "--method ascent --generations 0",
            f"Invalid value for '--generations': '0' {RANGE} 1 to 10,000,000{SEE}",
        ),
        ("--method ascent:decay=1", "ascent: decay=1.0: Input should be less than 1"),
        ("--population 3", "MapElites: population=3: Input should be a multiple of 2"),
        (
            "--seed -1",
            f"Invalid value for '--seed': '-1' {RANGE} 0 to 4,611,686,018,427,387,904{SEE}",
        ),
        ("--classes 0,x", "--classes '0,x': write 'all', or numbers separated by commas"),
        ("--classes 2 --generations 1", "class 2 does not exist: the model's last class is 1"),
        ("--classes 1,1", "classes [1, 1]: give at least one class, each once, counted from 0"),
        (
            "--out ''",
            f"Invalid value for '--out': '' is empty: give a value, or leave it away{SEE}",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(unshaken, place, options, message):
    out = "" if "--out" in options else "--out new"
    result = unshaken(f"fool --model '{NET}' {out} {options}")
    assert (result.code, result.err) == (2, f"unshaken: {message}\n")
    assert not (place / "new").exists()


def test_a_model_of_any_size_asks_for_one(unshaken, place):
    result = unshaken("fool --model py:net.py:build --out new")
    assert result.code == 2
    assert "accepts images of any size" in result.err
    assert "?size=32" in result.err


def test_what_is_there_is_not_overwritten(unshaken, place):
    line = f"fool --model '{NET}' --generations 2 --population 4 --out new"
    assert unshaken(line).code == 0
    before = (place / "new/fooling.json").read_bytes()
    again = unshaken(line)
    assert (again.code, again.err) == (2, "unshaken: new: already holds fooling images; choose another --out\n")
    assert (place / "new/fooling.json").read_bytes() == before
