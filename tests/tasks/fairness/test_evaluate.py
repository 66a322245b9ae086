"""Fairness indicators of a network that looks at one pixel: figures by hand, the page, and bad files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.report.rebuild import rebuild_report
from unshaken.store.run_dir import RunDir
from unshaken.tasks.fairness import evaluate, income_bucket, read_groups, read_report
from unshaken.tasks.fairness.evaluate import largest

CLASSES = ("cat", "slug", "people")


class FirstPixel(nn.Module):
    """Features are the colours of the first pixel; logits are ten times these."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(10 * torch.eye(3))

    def forward(self, x):
        return self.head(x[:, :, 0, 0])


@pytest.fixture
def model():
    return Classifier(FirstPixel(), classes=CLASSES, name="first pixel")


# id, colour (the class that the network sees), label, group, subject, income
IMAGES = [
    ("a0", 0, "cat", "light", "p0", 50), ("a1", 0, "cat", "light", "p0", 50), ("a2", 2, "people", "light", "p1", 500),
    ("a3", 2, "cat", "light", "p2", 5000), ("b0", 1, "people", "dark", "p3", 4), ("b1", 2, "people", "dark", "p4", 500),
    ("b2", 1, "", "dark", "p5", 500),
]  # fmt: skip


def write(folder, rows=IMAGES, head="path,label,group,subject,income"):
    for name, colour, *_ in rows:
        pixels = np.zeros((4, 4, 3), np.uint8)
        pixels[..., colour] = 200
        Image.fromarray(pixels).save(folder / f"{name}.png")
    lines = [head, *(f"{name}.png,{','.join(map(str, rest))}" for name, _, *rest in rows)]
    (folder / "groups.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "groups.csv"


def values(rates):
    return {group: figure["value"] for group, figure in rates["rates"].items()}


def test_figures_by_hand(model, tmp_path):
    data = read_groups(write(tmp_path), subject="subject")
    sets, options = {"animal": ["slug", "cat"], "human": ["people"]}, {"top": 1, "thresholds": (0, 1), "depths": (1, 2)}
    report = evaluate(model, data, out=tmp_path / "run", sets=sets, **options)
    found = report.figures()
    assert found["images"] == {"dark": 3, "light": 4}
    assert values(found["accuracy"]) == {"dark": 0.5, "light": 0.75}
    assert found["accuracy"]["gap"]["value"] == 0.25
    assert found["accuracy"]["worst"] == "dark"
    assert found["accuracy"]["subjects"] == {"dark": 2, "light": 3}
    assert values(found["association"]["animal"]["0"]) == {"dark": pytest.approx(2 / 3), "light": 0.5}
    assert values(found["association"]["animal"]["1"]) == {"dark": 0, "light": 0}
    # nearest to a0 and a1 (alone with their colour, one subject): of equal cosines the first other image, a2
    assert values(found["retrieval"]["1"]["groups"])["light"] == pytest.approx((1 + 1 + 1 + 1) / 4)
    assert found["chance"] == {"dark": pytest.approx(2 / 6), "light": pytest.approx(3 / 6)}
    assert found["common_labels"]["dark"][0] == ["slug", pytest.approx(2 / 3)]
    assert found["small"] == ["dark", "light"]
    assert read_report(tmp_path / "run").figures() == found


def test_a_label_may_stand_for_several_classes(model, tmp_path):
    rows = [("a", 0, "pet", "x", "p", 1), ("b", 1, "pet", "y", "q", 1)]
    found = evaluate(model, write(tmp_path, rows), concepts={"pet": ["cat", "slug"]}, top=1, depths=()).figures()
    assert values(found["accuracy"]) == {"x": 1, "y": 1}
    assert found["accuracy"]["gap"]["value"] == 0
    assert found["retrieval"] == {}


def test_groups_of_several_columns_and_of_numbers(tmp_path):
    file = write(tmp_path)
    data = read_groups(file, group=["group", "income"], convert={"income": income_bucket})
    assert data.groups == (
        "light, low", "light, low", "light, medium", "light, high", "dark, low", "dark, medium", "dark, medium"
    )  # fmt: skip
    assert data.subjects[:2] == ("image 0", "image 1")


def test_the_page_is_made_of_the_folder_alone(model, tmp_path):
    rows = [*IMAGES, ("c0", 0, "cat", "", "p9", 1)]
    file = write(tmp_path, rows)
    (tmp_path / "a1.png").write_bytes(b"no image")
    evaluate(model, read_groups(file, subject="subject"), out=tmp_path / "run", sets={"human": ["people"]}, depths=(1,))
    (tmp_path / "run" / "report.md").unlink(missing_ok=True)
    assert rebuild_report(RunDir(tmp_path / "run"))["schema"] == 1
    page = (tmp_path / "run" / "report.md").read_text()
    assert "6 images of 2 groups were shown to the model; 2 more were left out." in page
    assert "fewer than 30 subjects in dark and light" in page
    assert "c0.png: it has no group" in page
    assert "a1.png" in page
    assert "human, from 0.25" in page
    assert "by chance" in page
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000


def test_images_that_the_model_cannot_answer_are_left_out(model, tmp_path):
    class Broken(FirstPixel):
        def forward(self, x):
            seen = x[:, :, 0, 0]
            return self.head(torch.where(seen[:, 2:] > 0.5, torch.nan, seen))

    broken = Classifier(Broken(), classes=CLASSES)
    report = evaluate(broken, write(tmp_path), top=1)
    assert {bad["id"] for bad in report.settings.bad_samples} == {"a2.png", "a3.png", "b1.png"}
    assert len(report.rows) == 4


def lines(*rows):
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (lines("path,label", "a0.png,cat"), {}, "has no column 'group'; "),
        (lines("path,label,grup", "a0.png,cat,x"), {}, "did you mean 'grup'"),
        (lines("path,group", "a0.png,x", "a1.png,y"), {"label": "klass"}, "has no column 'klass'"),
        (lines("path,group", "a0.png,x", "a1.png,x"), {}, r"'group' has 1 group \['x'\]: two are needed"),
        (lines("path,group", "a0.png,", "a1.png,"), {}, "has 0 groups"),
        (lines("path,group"), {}, "holds no images"),
        ("", {}, "holds no images"),
        (lines("path,group", "a0.png,x,y"), {}, "line 2 has not as many values"),
        (lines("path,group", "a0.png"), {}, "line 2 has not as many values"),
        (lines("path,group", "a0.png,x", "a0.png,y"), {}, "'a0.png' occurs 2 times"),
        (lines("path,group", "../a0.png,x", "b.png,y"), {}, "has no part '..'"),
        (lines("path,group", "a.png,-5", "b.png,5"), {"convert": {"group": income_bucket}}, "line 2: group '-5' makes"),
        (lines("path,group", "a.png,much", "b.png,5"), {"convert": {"group": income_bucket}}, "'much' makes no group"),
        (b"path,group\n\xff\xfe,x\n", {}, "cannot be read"),
    ],
)
def test_bad_files_are_named(text, options, message, tmp_path):
    file = tmp_path / "groups.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((DataError, ParameterError), match=message):
        read_groups(file, **options)


def test_bad_use_is_named(model, tmp_path):
    file = write(tmp_path)
    for options, message in (
        ({"sets": {"animal": ["swine"]}}, "sets: the model has no class 'swine'"),
        ({"concepts": {"cat": ["lion"]}}, "concepts: the model has no class 'lion'"),
        ({"top": 0}, "top, least and depths must be at least 1"),
        ({"thresholds": (2,)}, r"thresholds lie in \[0, 1\]"),
    ):
        with pytest.raises(ParameterError, match=message):
            evaluate(model, file, **options)
    with pytest.raises(DataError, match="cannot be read"):
        evaluate(model, tmp_path / "absent.csv")
    (tmp_path / "gone.csv").write_text("path,group\nx.png,a\ny.png,b\n")
    with pytest.raises(DataError, match=r"none of its 2 images can be used; x\.png"):
        evaluate(model, tmp_path / "gone.csv")
    other = tmp_path / "other.csv"
    other.write_text("path,label,group\na0.png,dog,x\na1.png,cow,y\n")
    with pytest.raises(
        ParameterError, match=r"2 of the 2 labels of .*'cow', are no class of the model, such as 'cat': give concepts"
    ):
        evaluate(model, other)
    other.write_text("path,label,group\na0.png,cat,x\na1.png,Cat,y\n")  # one of two would be a miss in one group alone
    with pytest.raises(ParameterError, match=r"1 of the 2 labels of .*'Cat', are no class"):
        evaluate(model, other)
    found = evaluate(model, other, concepts={"Cat": []}, depths=()).figures()
    assert values(found["hit"]) == {"x": 1, "y": 0}
    evaluate(model, file, out=tmp_path / "run")
    with pytest.raises(RunError, match="holds fairness indicators already"):
        evaluate(None, file, out=tmp_path / "run")  # no model is asked for it
    with pytest.raises(RunError, match=r"holds no fairness\.json"):
        read_report(tmp_path)


def test_the_largest_are_those_of_a_stable_sort():
    values = torch.randint(0, 6, (40, 30), generator=torch.Generator().manual_seed(0)).double()
    for count in (0, 1, 7, 30):
        assert largest(values, count) == values.sort(dim=1, descending=True, stable=True).indices[:, :count].tolist()
