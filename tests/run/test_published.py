"""Corruptions that are files of the data: audited as if made here, written so that others read them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

import unshaken
from unshaken.api import write_corrupted
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import from_arrays, load_data

PLAN = [
    {"method": "gaussian_noise", "severities": [1, 3]},
    {"method": "brightness", "severities": [5]},
    {"method": "contrast", "severities": [2]},
]
WRITTEN = ["gaussian_noise", "brightness"]


class Colours(torch.nn.Module):
    """Means of nine parts of the image as logits of three classes."""

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images, 3).sum(1).reshape(len(images), 3, 3).sum(2)


@pytest.fixture
def photos(tmp_path):
    """Nine pictures in three class folders, whose names are in the order of the labels."""
    rng = np.random.default_rng(0)
    for i in range(9):
        place = tmp_path / "photos" / f"n{i % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).save(place / f"p{i}.png")
    return f"folder:{tmp_path}/photos"


def audited(data, out, plan=PLAN, **options):
    return unshaken.audit(Colours(), data, plan, out=out, **options)


def rows(audit):
    """Rows without what was spent, by condition and sample."""
    apart = ("seconds",)
    table = audit.run.rows("outcomes").to_pylist()
    return {(r["condition"], r["id"]): {k: v for k, v in r.items() if k not in apart} for r in table}


def test_an_audit_on_written_arrays_has_the_rows_of_one_that_makes_the_images(photos, tmp_path):
    made = write_corrupted(photos, tmp_path / "files", methods=WRITTEN, seed=3)
    assert (made.samples, made.corruptions, made.spec) == (9, tuple(WRITTEN), f"cifar-c:{tmp_path}/files")
    files = audited(f"{made.spec}?clean={photos}", tmp_path / "a", seed=3)
    here = audited(photos, tmp_path / "b", seed=3)
    assert rows(files) == rows(here)
    assert {c for c, _ in rows(files)} == {
        "clean", "gaussian_noise-1", "gaussian_noise-3", "brightness-5", "contrast-2"
    }  # fmt: skip
    assert files.run.read_json("run.json")["from_files"] == ["gaussian_noise-1", "gaussian_noise-3", "brightness-5"]
    (told,) = [line for line in files.summary["provenance"]["protocol"] if "files" in line]
    assert told == "images of 3 conditions are files that came with the data; made here: contrast-2"
    assert not here.summary["provenance"]["protocol"]


def test_what_is_shown_is_what_the_files_hold(photos, tmp_path):
    write_corrupted(photos, tmp_path / "files", methods=["brightness"])
    array = np.load(tmp_path / "files" / "brightness.npy")
    array[2 * 9 : 3 * 9] = 255 - array[2 * 9 : 3 * 9]
    np.save(tmp_path / "files" / "brightness.npy", array)
    plan = [{"method": "brightness", "severities": [2, 3]}]
    files = rows(audited(f"cifar-c:{tmp_path}/files?clean={photos}", tmp_path / "a", plan))
    here = rows(audited(photos, tmp_path / "b", plan))
    same = {c for c, i in files if files[c, i]["logits"] == here[c, i]["logits"]}
    assert same == {"clean", "brightness-2"}
    data = load_data(photos)
    for i, name in enumerate(data.ids):
        want = Colours()(torch.from_numpy(array[2 * 9 + i].copy()).permute(2, 0, 1)[None] / 255)[0].tolist()
        assert files["brightness-3", name]["logits"] == pytest.approx(want, abs=1e-5)


def test_a_line_with_parameters_is_made_here(photos, tmp_path):
    write_corrupted(photos, tmp_path / "files", methods=["brightness"])
    plan = [{"method": "brightness", "params": {"preset": "imagenet"}, "severities": [2]}]
    run = audited(f"cifar-c:{tmp_path}/files?clean={photos}", tmp_path / "a", plan).run
    assert run.read_json("run.json")["from_files"] == []


def test_a_limited_audit_takes_the_files_of_its_samples(photos, tmp_path):
    write_corrupted(photos, tmp_path / "files", methods=WRITTEN)
    files = audited(f"cifar-c:{tmp_path}/files?clean={photos}", tmp_path / "a", limit=4, batch_size=3)
    assert rows(files) == rows(audited(photos, tmp_path / "b", limit=4))


def test_a_file_that_cannot_be_read_is_a_row(photos, tmp_path):
    made = write_corrupted(f"{photos}?size=12", tmp_path / "files", layout="imagenet-c", methods=["brightness"])
    (tmp_path / "files/brightness/3/n1/p4.JPEG").write_bytes(b"no picture")
    for i in range(9):
        (tmp_path / f"files/brightness/4/n{i % 3}/p{i}.JPEG").write_bytes(b"no picture")
    plan = [{"method": "brightness", "severities": [2, 3, 4]}]
    run = audited(f"{made.spec}?clean={photos}", tmp_path / "a", plan)
    found = rows(run)
    bad = {key: row["error"] for key, row in found.items() if row["error"]}
    assert set(bad) == {("brightness-3", "n1/p4.png"), *(("brightness-4", f"n{i % 3}/p{i}.png") for i in range(9))}
    assert "not an image" in bad["brightness-3", "n1/p4.png"]
    assert sum(c == "brightness-3" for c, _ in found) == 9
    accuracy = [c["accuracy"] for c in run.summary["conditions"]]
    assert (accuracy[0]["n"], accuracy[1]["n"], accuracy[2]) == (9, 8, None)


def test_files_of_another_size_are_told(photos, tmp_path):
    made = write_corrupted(f"{photos}?size=10", tmp_path / "files", layout="imagenet-c", methods=["brightness"])
    with pytest.raises(DataError, match=r"files of brightness-2 have 10x10 pixels and the clean images 12x12"):
        audited(f"{made.spec}?clean={photos}", tmp_path / "a", [{"method": "brightness", "severities": [2]}])


def test_written_files_have_the_layout_that_other_tools_read(photos, tmp_path):
    write_corrupted(photos, tmp_path / "cifar", methods=["fog"])
    assert sorted(f.name for f in (tmp_path / "cifar").iterdir()) == ["fog.npy", "labels.npy"]
    images, labels = np.load(tmp_path / "cifar/fog.npy"), np.load(tmp_path / "cifar/labels.npy")
    assert (images.dtype, images.shape, labels.shape) == (np.uint8, (45, 12, 12, 3), (45,))
    data = load_data(photos)
    assert labels.tolist() == data.labels.tolist() * 5
    fog = unshaken.stress.Fog()
    for s in (1, 5):
        want = [fog.apply_pixels(data.read(i), s, sample=data.ids[i]) for i in range(9)]
        assert (images[9 * (s - 1) : 9 * s] == np.stack(want)).all()
    write_corrupted(photos, tmp_path / "imagenet", layout="imagenet-c", methods=["fog", "snow"])
    tree = ImageFolder(tmp_path / "imagenet/snow/4")
    assert [label for _, label in tree.samples] == data.labels.tolist()
    assert [path.rpartition("snow/4/")[2] for path, _ in tree.samples] == [i.replace(".png", ".JPEG") for i in data.ids]
    with Image.open(tmp_path / "photos/n0/p0.png") as own:
        own.save(tmp_path / "own.jpg", quality=85)
    with Image.open(tmp_path / "imagenet/fog/1/n0/p0.JPEG") as picture, Image.open(tmp_path / "own.jpg") as own:
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (224, 224), "RGB")
        assert picture.quantization == own.quantization


def test_grey_images_of_any_data_are_written_in_three_channels(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (4, 1, 9, 9), np.uint8)
    data = from_arrays(grey, [1, 0, 1, 0], ids=["a/b", "c.d", "e", "f"], classes=["z/1", "a b"])
    write_corrupted(data, tmp_path / "cifar", methods=["contrast"])
    images = np.load(tmp_path / "cifar/contrast.npy")
    assert images.shape == (20, 9, 9, 3)
    assert (images == images[..., :1]).all()
    write_corrupted(data, tmp_path / "files", layout="imagenet-c", methods=["contrast"])
    names = sorted(str(f.relative_to(tmp_path / "files/contrast/1")) for f in tmp_path.glob("files/contrast/1/*/*"))
    assert names == ["0000_z%2F1/c.d.JPEG", "0000_z%2F1/f.JPEG", "0001_a b/a%2Fb.JPEG", "0001_a b/e.JPEG"]
    (tmp_path / "names.txt").write_text("n01\tfirst\nn02\tsecond\n")
    write_corrupted(data, tmp_path / "named", layout="imagenet-c", methods=["contrast"], folders=tmp_path / "names.txt")
    assert sorted(f.name for f in (tmp_path / "named/contrast/5").iterdir()) == ["n01", "n02"]


def test_samples_of_other_data_are_found_by_their_ids(tmp_path):
    made = write_corrupted("demo", tmp_path / "files", layout="imagenet-c", methods=["contrast"], limit=12)
    data, demo = load_data(f"{made.spec}?clean=demo"), load_data("demo")
    assert len(data) == 12
    labels = dict(zip(demo.ids, demo.labels.tolist(), strict=True))
    assert data.labels.tolist() == [labels[name] for name in data.ids]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"layout": "cifar"}, ParameterError, "layout 'cifar' is not one of cifar-c, imagenet-c"),
        ({"methods": ["translation"]}, ParameterError, "'translation' is no common corruption"),
        ({"methods": ["fog", "fog"]}, ParameterError, "one stands twice"),
        ({"folders": "names.txt"}, ParameterError, "only the layout imagenet-c"),
    ],
)
def test_wrong_options_are_told(photos, tmp_path, options, error, told):
    with pytest.raises(error, match=told):
        write_corrupted(photos, tmp_path / "files", **options)


def test_what_cannot_be_written_is_told(photos, tmp_path):
    with pytest.raises(ParameterError, match=r"holds other files, .*choose a new or empty folder"):
        write_corrupted(photos, tmp_path / "photos")
    with pytest.raises(DataError, match="has no labels"):
        write_corrupted(from_arrays(np.zeros((2, 3, 8, 8), np.uint8)), tmp_path / "files")
    twice = from_arrays(np.zeros((2, 3, 8, 8), np.uint8), [0, 0], ids=["a.png", "a.jpg"])
    with pytest.raises(DataError, match="2 samples would have the file"):
        write_corrupted(twice, tmp_path / "files2", layout="imagenet-c")
    (tmp_path / "photos/n0/p0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"n0/p0\.png.*leave it out"):
        write_corrupted(photos, tmp_path / "files3")
