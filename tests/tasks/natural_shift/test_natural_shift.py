"""`unshaken evaluate natural-shift`: published layouts in miniature, classes by hand, the line of baselines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy import special
from torch import nn

import unshaken
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import load_data
from unshaken.measure.statistics.intervals import share
from unshaken.models.class_names import imagenet_classes
from unshaken.models.within import published_set
from unshaken.tasks.natural_shift.baselines import PUBLISHED, read_baselines
from unshaken.tasks.natural_shift.natural_shift import NaturalShift, group_classes


class Reader(nn.Module):
    """Answers the number that an image's red and green name, and the numbers near it next."""

    def __init__(self, outputs: int, add: int = 0):
        super().__init__()
        self.outputs, self.add = outputs, add

    def forward(self, images):
        number = (255 * images[:, :2].mean((2, 3))).round() @ torch.tensor([100.0, 1.0]) + self.add
        return -((torch.arange(self.outputs) - number[:, None]) ** 2)


def photo(path: Path, number: int, border: int = 0) -> None:
    """An image that says a number, in a red frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((8 + 2 * border, 8 + 2 * border, 3), (number // 100, number % 100, 0), np.uint8)
    if border:
        pixels[[0, -1]] = pixels[:, [0, -1]] = (255, 0, 0)
    Image.fromarray(pixels).save(path)


MODEL = Classifier(Reader(1000), classes=list(imagenet_classes()))


def evaluate(out, data, model=MODEL, **values):
    return unshaken.evaluate(NaturalShift(**values), model, data, out=out, device="cpu")


def rows_of(found, part="shifted"):
    return found.run.rows("natural_shift", condition=part).to_pylist()


def test_imagenet_v2_has_folders_of_numbers(tmp_path):
    for k in range(12):
        photo(tmp_path / "v2" / str(k) / "a.png", k if k % 3 else 900)
    model = Classifier(Reader(12), classes=[str(k) for k in range(12)])
    found = evaluate(tmp_path / "run", f"folder:{tmp_path / 'v2'}", model)
    assert {row["id"]: (row["name"], row["prediction"], row["correct"]) for row in rows_of(found)} == {
        f"{k}/a.png": (str(k), k if k % 3 else 11, bool(k % 3)) for k in range(12)
    }
    assert found.summary["figures"]["accuracy"]["value"] == pytest.approx(8 / 12)
    assert found.summary["remarks"] == [
        "no baselines: name set=imagenet-v2 or another of the published ones, or baselines=FILE"
    ]


def test_imagenet_r_is_scored_among_its_classes_and_against_its_baselines(tmp_path):
    info = pytest.importorskip("timm.data.imagenet_info").ImageNetInfo("imagenet-1k").label_names()
    folder = Path(pytest.importorskip("timm").__file__).parent / "data" / "_info"
    chosen = (folder / "imagenet_r_synsets.txt").read_text().split()
    assert published_set(chosen) == "ImageNet-R"
    numbers = {wnid: info.index(wnid) for wnid in chosen}
    allowed = np.array(sorted(numbers.values()))
    said = {wnid: k + (7 if i % 3 == 0 else 0) for i, (wnid, k) in enumerate(numbers.items())}
    for wnid in chosen:
        (tmp_path / "r" / wnid).mkdir(parents=True)
    chosen = chosen[::5]  # the other folders are empty, and still classes
    for wnid in chosen:
        photo(tmp_path / "r" / wnid / "art_0.png", said[wnid])
        photo(tmp_path / "val" / wnid / "photo.png", numbers[wnid] + (9 if numbers[wnid] % 10 == 0 else 0))
    outside = next(w for w in info if w not in numbers)
    photo(tmp_path / "val" / outside / "photo.png", 0)
    found = evaluate(tmp_path / "run", f"folder:{tmp_path / 'r'}", standard=f"folder:{tmp_path / 'val'}")
    best = {wnid: allowed[np.abs(allowed - said[wnid]).argmin()] for wnid in chosen}
    right = {wnid: best[wnid] == numbers[wnid] for wnid in chosen}
    for row in rows_of(found):
        assert row["correct"] == right[row["name"]]
        assert row["prediction"] in allowed
    assert len(rows_of(found, "standard")) == 40  # the class outside the set does not count
    figures = found.summary["figures"]
    clean, shifted = figures["standard_accuracy"]["value"], figures["accuracy"]["value"]
    assert shifted == pytest.approx(np.mean(list(right.values())))
    assert figures["drop"]["value"] == pytest.approx(clean - shifted)
    own = read_baselines(PUBLISHED, "imagenet-r")
    x, y = (special.logit([getattr(one, key) for one in own]) for key in ("standard", "shifted"))
    slope, intercept = np.polyfit(x, y, 1)
    rho = figures["effective_robustness"]
    assert rho["value"] == pytest.approx(shifted - special.expit(intercept + slope * special.logit(clean)))
    assert rho["high"] - rho["low"] > figures["accuracy"]["high"] - figures["accuracy"]["low"] - 0.03
    assert "22 baseline models foretell" in found.summary["answer"][-1]


def objectnet(folder: Path) -> Path:
    """ObjectNet's layout with three folders, one of which ImageNet does not have."""
    (folder / "mappings").mkdir(parents=True)
    labels = {"alarm_clock": "Alarm clock", "banana": "Banana", "air_freshener": "Air freshener"}
    answers = {"Alarm clock": "analog clock; digital clock", "Banana": "banana"}
    (folder / "mappings" / "folder_to_objectnet_label.json").write_text(json.dumps(labels))
    (folder / "mappings" / "objectnet_to_imagenet_1k.json").write_text(json.dumps(answers))
    names = imagenet_classes()
    for name, number in (("a", "analog clock"), ("b", "digital clock"), ("c", "banana")):
        photo(folder / "images" / "alarm_clock" / f"{name}.png", names.index(number), border=2)
    photo(folder / "images" / "banana" / "d.png", 0, border=2)
    photo(folder / "images" / "air_freshener" / "e.png", 0, border=2)
    return folder


def test_objectnet_takes_any_class_that_one_of_its_own_stands_for(tmp_path):
    data = load_data(f"objectnet:{objectnet(tmp_path / 'objectnet-1.0')}")
    assert data.ids == ("alarm_clock/a.png", "alarm_clock/b.png", "alarm_clock/c.png", "banana/d.png")
    assert data.classes == ("analog clock; digital clock", "banana")
    assert data.read(0).shape == (8, 8, 3)
    assert not (data.read(0) == 255).any()  # the frame is cut off
    groups = group_classes(data, MODEL, 1000)
    assert groups.groups == ((409, 530), (954,))
    found = evaluate(tmp_path / "run", f"objectnet:{tmp_path / 'objectnet-1.0'}")
    assert [row["correct"] for row in rows_of(found)] == [True, True, False, False]
    assert rows_of(found)[3]["prediction"] == 409  # the nearest number among the set's three classes


def test_relative_robustness_is_paired_and_a_given_accuracy_stands_in(tmp_path, monkeypatch):
    for k in range(10):
        for i in range(3):
            photo(tmp_path / "s" / str(k) / f"{i}.png", k + (1 if i == 0 and k < 5 else 0))
    (tmp_path / "b.csv").write_text("model,standard,shifted\na,0.6,0.3\nb,0.7,0.45\nc,0.8,0.6\nd,0.9,0\nme,0.5,0.4\n")
    names = [str(k) for k in range(10)]
    monkeypatch.setattr(
        "unshaken.tasks.natural_shift.natural_shift.second_model",
        lambda spec: Classifier(Reader(10, add=1), classes=names),
    )
    monkeypatch.setattr(NaturalShift, "further_models", ())
    found = evaluate(
        tmp_path / "run", f"folder:{tmp_path / 's'}", Classifier(Reader(10), classes=names), before="old",
        baselines=str(tmp_path / "b.csv"), standard_accuracy=0.75, leave_out=("me",),
    )  # fmt: skip
    figures = found.summary["figures"]
    right = [row["correct"] for row in rows_of(found)]
    before = [row["correct"] for row in rows_of(found, "before")]
    assert sum(right) == 25
    assert sum(before) == 3  # the last class has no number above it
    assert figures["relative_robustness"]["value"] == pytest.approx((sum(right) - sum(before)) / 30)
    slope, intercept = np.polyfit(special.logit([0.6, 0.7, 0.8]), special.logit([0.3, 0.45, 0.6]), 1)
    expected = 25 / 30 - special.expit(intercept + slope * special.logit(0.75))
    assert figures["effective_robustness"]["value"] == pytest.approx(expected)
    assert "baselines with an accuracy of 0 or 1 are left out: d" in found.summary["remarks"]


def test_what_does_not_fit_is_refused(tmp_path):
    for k in ("0", "1"):
        photo(tmp_path / "s" / k / "a.png", int(k))
    data, two = f"folder:{tmp_path / 's'}", Classifier(Reader(2), classes=["0", "1"])
    with pytest.raises(ParameterError, match="give one of them"):
        evaluate(tmp_path / "a", data, two, standard=data, standard_accuracy=0.5)
    with pytest.raises(DataError, match="have no set 'imagenet-x'"):
        evaluate(tmp_path / "b", data, two, set="imagenet-x")
    with pytest.raises(DataError, match="have no model 'resnet5'; did you mean 'resnet50'"):
        evaluate(tmp_path / "c", data, two, set="imagenet-v2", leave_out=("resnet5",))
    (tmp_path / "b.csv").write_text("model,standard,shifted\na,76.1,60\n")
    with pytest.raises(DataError, match=r"standard of 'a' is '76.1': write an accuracy as a share"):
        evaluate(tmp_path / "d", data, two, baselines=str(tmp_path / "b.csv"), standard_accuracy=0.5)
    (tmp_path / "b.csv").write_text("model,clean\na,0.5\n")
    with pytest.raises(DataError, match="have no column 'standard'"):
        evaluate(tmp_path / "e", data, two, baselines=str(tmp_path / "b.csv"), standard_accuracy=0.5)
    with pytest.raises(ParameterError, match="needs the accuracy without the shift"):
        evaluate(tmp_path / "f", data, two, baselines=str(tmp_path / "b.csv"))
    (tmp_path / "c.txt").write_text("0\tcat; dog\n1\tdog\n")
    with pytest.raises(DataError, match="both stand for the model's class 'dog'"):
        evaluate(tmp_path / "g", f"{data}?classes={tmp_path / 'c.txt'}", Classifier(Reader(2), classes=["cat", "dog"]))
    (tmp_path / "d.txt").write_text("0\tbird\n1\tdog\n")
    with pytest.raises(DataError, match=r"'bird' is no class of model .*: say what it is by \?classes=FILE"):
        evaluate(tmp_path / "h", f"{data}?classes={tmp_path / 'd.txt'}", Classifier(Reader(2), classes=["cat", "dog"]))
    with pytest.raises(DataError, match=r"folder .*images.* cannot be opened"):
        load_data(f"objectnet:{tmp_path / 's'}")
    folder = objectnet(tmp_path / "o")
    (folder / "mappings" / "objectnet_to_imagenet_1k.json").write_text("[1]")
    with pytest.raises(DataError, match="is not an object of names"):
        load_data(f"objectnet:{folder}")


def test_imagenet_hard_has_several_valid_labels_an_image(tmp_path):
    answers = [[5, 7], [7], [3, 5], [2, 9], []]
    said = [7, 7, 4, 9, 1]
    images = []
    for number in said:
        photo(tmp_path / "one.png", number)
        images.append({"bytes": (tmp_path / "one.png").read_bytes(), "path": None})
    columns = {"image": images, "label": answers, "origin": ["ImageNet-R"] * 3 + ["ImageNet-A"] * 2}
    kinds = pa.schema([
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.list_(pa.int64())),
        ("origin", pa.string()),
    ])  # fmt: skip
    pq.write_table(pa.table(columns, schema=kinds), tmp_path / "hard.parquet")
    model = Classifier(Reader(1000), classes=list(imagenet_classes()))
    found = evaluate(tmp_path / "run", f"parquet:{tmp_path / 'hard.parquet'}", model)
    rows = {row["id"]: (row["name"], row["prediction"], row["correct"]) for row in rows_of(found)}
    # 4 is no class of the set: the nearest of those that are, 3 and 5, is the first
    assert rows == {"0": ("5; 7", 7, True), "1": ("7", 7, True), "2": ("3; 5", 3, True), "3": ("2; 9", 9, True)}
    wide = Classifier(Reader(1000), classes=list(imagenet_classes()))
    wide.within = "all"
    found = evaluate(tmp_path / "all", f"parquet:{tmp_path / 'hard.parquet'}", wide)
    assert [row["correct"] for row in rows_of(found)] == [True, True, False, True]
    assert found.summary["bad_samples"][0]["reason"] == "there is no label"
    with pytest.raises(DataError, match="several valid labels, and one is needed here"):
        unshaken.audit(model, f"parquet:{tmp_path / 'hard.parquet'}", [], out=tmp_path / "audit", device="cpu")
    with pytest.raises(DataError, match=r"are not all classes of model .* which has 8"):
        evaluate(tmp_path / "few", f"parquet:{tmp_path / 'hard.parquet'}", Classifier(Reader(8)))


def test_the_worst_group_of_a_split_outside_the_distribution(tmp_path):
    lines = ["split,filename,y,location_remapped"]
    right = {"3": 9, "5": 4}  # of ten at each place
    for place, hits in right.items():
        for i in range(10):
            name = f"{place}_{i}.png"
            photo(tmp_path / "cam" / "train" / name, i % 4 if i < hits else 7)
            lines.append(f"{'test' if i % 5 else 'id_test'},{name},{i % 4},{place}")
    (tmp_path / "cam" / "metadata.csv").write_text("\n".join(lines))
    data, model = f"wilds:{tmp_path / 'cam'}", Classifier(Reader(4))
    found = evaluate(tmp_path / "run", data, model, standard=f"{data}?split=id_test", group="location_remapped")
    hits = {place: np.mean([i < right[place] or i % 4 == 3 for i in range(10) if i % 5]) for place in right}
    figure = found.summary["figures"]["worst_group_accuracy"]
    assert figure["value"] == pytest.approx(min(hits.values()))
    each = [share(round(8 * own), 8, level=1 - 0.05 / 2) for own in hits.values()]
    assert (figure["low"], figure["high"]) == (min(o.low for o in each), min(o.high for o in each))
    assert figure["n"] == 8
    assert "Of 2 groups by location_remapped 5 is the worst" in found.summary["answer"][-1]
    assert found.summary["figures"]["standard_accuracy"]["n"] == 4
    with pytest.raises(ParameterError, match="no column 'place'"):
        evaluate(tmp_path / "other", data, model, group="place")
