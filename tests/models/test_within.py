"""Models that choose among the classes of a data set alone."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import unshaken
from unshaken.core import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.label_record import LabelRecord
from unshaken.data import load_data
from unshaken.models import as_classifier
from unshaken.models.align import ModelClasses, align
from unshaken.models.class_names import imagenet_classes, wordnet_id
from unshaken.models.loaders.load import load_model
from unshaken.models.within import PUBLISHED, choose_classes, choose_same, published_set, refuse_within, restrict

NAMES = ("ant", "bee", "cat", "dog")


class Bars(nn.Module):
    """Four logits, linear in the mean pixel m: bee 1, and at (20 - 40 m) and its negative dog and cat; ant 30."""

    def forward(self, x):
        slope = 20 - 40 * x.mean((1, 2, 3))
        return torch.stack([torch.full_like(slope, 30), torch.ones_like(slope), -slope, slope], 1)


@pytest.fixture
def photos(tmp_path):
    """Three dark dogs of level 0.2 and three light cats of level 0.8."""
    for name, level in (("dog", 51), ("cat", 204)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (4, 4), (level, level, level)).save(tmp_path / "photos" / name / f"{i}.png")
    return f"folder:{tmp_path / 'photos'}"


def net(**more):
    return Classifier(Bars(), classes=NAMES, name="bars", **more).eval()


def test_some_logits_in_the_order_that_is_wanted():
    images = torch.rand(5, 3, 4, 4)
    model = net()
    few = choose_classes(model, [3, 1])
    assert torch.equal(few(images), model(images)[:, [3, 1]])
    assert (few.classes, few.name) == (("dog", "bee"), "bars")


def test_labels_and_names_are_those_of_the_classes_that_occur(photos):
    data = load_data(photos)
    found = align(data, ModelClasses.of(net()))
    model, other, record = restrict(net(within="data"), found.dataset, found.record, outputs=4, names=data.classes)
    assert (model.classes, other.classes) == (("cat", "dog"), ("cat", "dog"))
    assert other.labels.tolist() == data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert other.fingerprint == data.fingerprint
    assert record == LabelRecord(by="names", classes={"cat": 0, "dog": 1}, within="data")
    assert record.line(model.classes) == "by name; scored among the 2 classes that occur in the data"


@pytest.mark.parametrize("within", ["", "all"])
def test_by_default_all_classes_compete(photos, within):
    data = load_data(photos)
    found = align(data, ModelClasses.of(net()))
    model = net(within=within)
    assert restrict(model, found.dataset, found.record, outputs=4, names=data.classes)[0] is model
    assert found.record.line(NAMES) == (
        "by name; 2 of the model's 4 classes occur; scored among all 4 (?within=data in the model's SPEC: among the 2)"
    )


def test_classes_without_names_keep_their_numbers(photos):
    data = load_data(photos).renumbered(np.array([2, 2, 2, 3, 3, 3]), ())
    record = align(data, ModelClasses((), 4)).record
    model, other, _ = restrict(Classifier(Bars(), within="data"), data, record, outputs=4, names=())
    assert (model.classes, other.labels.tolist()) == (("2", "3"), [0, 0, 0, 1, 1, 1])


def test_what_cannot_be_restricted_is_said(photos):
    data = load_data(photos)
    one = data.renumbered(np.zeros(6, np.int64), ())
    record = LabelRecord(by="positions")
    with pytest.raises(ParameterError, match=r"within=data chooses among the data's classes, and .* has labels of 1"):
        restrict(net(within="data"), one, record, outputs=4, names=())
    with pytest.raises(ParameterError, match="a defence is around it"):
        restrict(net(within="data", reject=0), data, record, outputs=4, names=())
    with pytest.raises(ParameterError, match=r"within=data is for audits, .*, and not to train: leave it out"):
        refuse_within(net(within="data"), "to train")


def test_audits_and_attacks_are_of_the_model_that_chooses(photos, tmp_path):
    """Ant always has the largest logit. Among cat and dog all are right, and an attack needs eps 0.3 exactly."""
    plan = [{"method": "fgsm", "eps": [0.29, 0.31]}]
    whole = unshaken.audit(net(), photos, [], out=tmp_path / "whole").summary
    assert whole["clean"]["value"] == 0
    done = unshaken.audit(net(within="data"), photos, plan, out=tmp_path / "within")
    assert done.summary["clean"]["value"] == 1
    assert [row["accuracy"]["value"] for row in done.summary["conditions"] if row["eps"]] == [1, 0]
    assert done.summary["provenance"]["classes"] == 2
    text = (tmp_path / "within" / "report.html").read_text()
    assert "scored among the 2 classes that occur in the data, is" in text


def test_a_spec_says_among_which_classes(photos, tmp_path):
    assert load_model("demo?within=data").within == "data"
    assert load_model("demo?classes=positions").by_position
    assert load_model("demo?classes=positions").classes == load_model("demo").classes
    with pytest.raises(ParameterError, match="within='half' is neither data nor all"):
        load_model("demo?within=half")


def test_the_classes_of_a_second_model_are_found_by_name():
    images, model = torch.rand(3, 3, 4, 4), net()
    other = Classifier(Bars(), classes=("dog", "cat", "bee", "ant"), name="other")
    assert torch.equal(choose_same(other, model, purpose="p")(images), model(images)[:, [3, 2, 1, 0]])
    few = choose_classes(model, [3, 1])
    assert torch.equal(choose_same(net(), few, purpose="p")(images), few(images))
    for same in (net(), Classifier(Bars()), Classifier(Bars(), classes=("0", "1", "2", "3"))):
        assert choose_same(same, model, purpose="p") is same
    torn = Classifier(Bars(), classes=("bee", "ant", "gnu", "yak"), name="torn")
    with pytest.raises(ParameterError, match=r"the teacher 'torn' numbers .*'ant' is 1 and 0, and 'cat' is not found"):
        choose_same(torn, model, purpose="the teacher")


@pytest.mark.skipif("timm" not in sys.modules and not pytest.importorskip("timm"), reason="timm is not installed")
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_are_known_by_their_classes(name, tmp_path, monkeypatch):
    """Both have 200 of ImageNet's classes; folders are called by WordNet ids."""
    from unshaken.models import within

    ids = sorted(within._published()[name])
    assert len(ids) == 200
    assert published_set(ids) == name
    assert published_set(ids[:199]) == published_set([*ids, "cat"]) == published_set(["cat"]) == published_set([]) == ""
    for k in ids:
        (tmp_path / k).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / k / "0.png")
    data = load_data(f"folder:{tmp_path}")
    model = as_classifier(nn.Identity())
    model.classes = imagenet_classes()
    found = align(data, ModelClasses.of(model))
    few, other, record = restrict(model, found.dataset, found.record, outputs=1000, names=data.classes)
    assert record.scope(200) == f"scored among the 200 classes of {name}"
    assert len(few.classes) == 200
    logits = torch.rand(200, 1000)
    assert torch.equal(few.net(logits), logits[:, sorted(set(found.dataset.labels.tolist()))])
    assert [few.classes[k] for k in other.labels] == [model.classes[k] for k in found.dataset.labels]
    model.within = "all"
    assert restrict(model, found.dataset, found.record, outputs=1000, names=data.classes)[0] is model
    assert wordnet_id(ids[0]) == ids[0]
