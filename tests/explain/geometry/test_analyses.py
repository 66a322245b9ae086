"""The three analyses: rows against direct formulas, layers, batches, and bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.geometry.estimators import Settings, dimensions
from unshaken.explain.geometry.intrinsic_dimension import IntrinsicDimension
from unshaken.explain.geometry.label_sharpness import LabelSharpness
from unshaken.explain.geometry.representation_dimension import RepresentationDimension
from unshaken.explain.geometry.sharpness import label_sharpness

N = 90
IMAGES = torch.randint(0, 256, (N, 1, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
LABELS = torch.arange(N) % 2
PIXELS = IMAGES.flatten(1).float() / 255


def subject(images=IMAGES, labels=LABELS, models=None, **options):
    dataset = InMemory(images, labels, ids=tuple(f"i{k}" for k in range(len(images))))
    return Subject(models or {}, dataset, range(len(images)), **options)


@pytest.fixture
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(6, 2),
        )  # fmt: skip
    return Classifier(net)


def by_quantity(found):
    return dict(zip(found.rows["quantity"], found.rows["value"], strict=True))


def test_the_dimension_of_a_data_set():
    found = IntrinsicDimension(draws=4).find(subject())
    exact, _ = dimensions(PIXELS, Settings(draws=4))
    assert by_quantity(found) == {f"dimension {k}": pytest.approx(f.value) for k, f in exact.items()}
    assert set(found.figures) == set(found.rows["quantity"])


def test_some_samples_are_the_same_ones_in_any_order():
    method = IntrinsicDimension(most=60, draws=2)
    plain = by_quantity(method.find(subject(batch=7)))
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    dataset = InMemory(IMAGES[order], LABELS[order], ids=tuple(f"i{k}" for k in order.tolist()))
    assert by_quantity(method.find(Subject({}, dataset, range(N)))) == pytest.approx(plain)
    assert method.find(subject()).extra["samples"] == 60


def test_each_class_by_itself_and_one_that_is_too_small():
    labels = (torch.arange(N) < 5).long()
    found = IntrinsicDimension(per_class=True, draws=2).find(subject(labels=labels))
    assert "dimension mle of class 0" in found.rows["quantity"]
    assert [e for e in found.rows["error"] if e] == [
        "20 nearest neighbours need 21 points at least, not 5: give more images or a smaller k"
    ]


def test_label_sharpness_of_a_data_set():
    found = LabelSharpness(draws=4).find(subject())
    exact = label_sharpness(PIXELS, LABELS, draws=4)
    assert by_quantity(found)["label sharpness"] == pytest.approx(exact.largest.value)
    assert by_quantity(found)["label sharpness at 0.999"] == pytest.approx(exact.quantile.value)
    assert found.extra["pair"] == [f"i{k}" for k in exact.pair]
    assert found.rows["high"][0] == math.inf
    assert found.arrays["sharpness_of_classes"][0, 1] == pytest.approx(exact.largest.value)


@pytest.mark.parametrize(("most", "there"), [(2, True), (1, False)])
def test_the_matrix_of_classes_is_there_for_as_many_as_a_page_shows(monkeypatch, most, there):
    monkeypatch.setattr("unshaken.explain.geometry.label_sharpness._MOST_CLASSES", most)
    assert ("sharpness_of_classes" in LabelSharpness(draws=2).find(subject()).arrays) == there


def test_classes_are_balanced():
    labels = (torch.arange(N) < 70).long()
    assert LabelSharpness(most=40, draws=2).find(subject(labels=labels)).extra["samples"] == 40
    assert LabelSharpness(most=60, draws=2).find(subject(labels=labels)).extra["samples"] == 50


def test_equal_images_with_different_labels_are_an_error_that_names_them():
    images = IMAGES.clone()
    images[3] = images[0]
    found = LabelSharpness(draws=2).find(subject(images))
    assert found.rows["value"][0] is None
    assert "'i0' and 'i3' are equal and have different labels" in found.rows["error"][0]
    assert any("1 pairs of equal images" in remark for remark in found.remarks)


def test_features_of_a_layer_may_be_the_points(model):
    found = LabelSharpness(layer="2", draws=2).find(subject(models={"net": model}))
    with torch.no_grad():
        features = model.features(PIXELS.view(N, 1, 6, 6), ["2"])[1]["2"].flatten(1)
    assert by_quantity(found)["label sharpness"] == pytest.approx(
        label_sharpness(features, LABELS, draws=2).largest.value, rel=1e-5
    )
    assert found.forwards == N


def test_the_dimension_of_each_layer(model):
    found = RepresentationDimension(draws=2, chosen=2, estimators="twonn").find(subject(models={"net": model}))
    assert found.rows["layer"] == ["pixels", "0", "2", "6:in"]
    assert found.rows["depth"] == sorted(found.rows["depth"])
    with torch.no_grad():
        _, features = model.features(PIXELS.view(N, 1, 6, 6), ["0", "6:in"])
    settings = Settings(("twonn",), draws=2)
    exact = [PIXELS, features["0"].mean((2, 3)), features["6:in"]]
    values = [dimensions(p, settings)[0]["twonn"].value for p in exact]
    assert [found.rows["value"][i] for i in (0, 1, 3)] == pytest.approx(values, rel=1e-4)
    assert found.forwards == N
    flat = RepresentationDimension(draws=2, layers="0", form="flat", estimators="twonn")
    assert flat.find(subject(models={"net": model})).rows["value"][1] != pytest.approx(values[1], rel=1e-2)


def test_a_layer_that_collapses_is_a_row_with_an_error(model):
    with torch.no_grad():
        model.net[2].weight.zero_()
    found = RepresentationDimension(draws=2).find(subject(models={"net": model}))
    errors = dict(zip(found.rows["layer"], found.rows["error"], strict=True))
    assert "every point has a duplicate" in errors["2"]
    assert errors["0"] is None


def test_bad_input_is_one_clear_line(model):
    with pytest.raises(DataError, match="one class"):
        LabelSharpness().find(subject(labels=torch.zeros(N, dtype=torch.int64)))
    with pytest.raises(DataError, match="needs the label of each image"):
        LabelSharpness().find(subject(labels=None))
    with pytest.raises(DataError, match="needs labels"):
        IntrinsicDimension(per_class=True, draws=2).find(subject(labels=None))
    with pytest.raises(DataError, match="every point has a duplicate"):
        IntrinsicDimension().find(subject(torch.zeros(N, 1, 6, 6, dtype=torch.uint8)))
    with pytest.raises(DataError, match="20 nearest neighbours need 21"):
        IntrinsicDimension().find(subject(IMAGES[:9], LABELS[:9]))
    with pytest.raises(ParameterError, match="estimators='pca': Input should be 'mle', 'twonn' or 'geomle'"):
        IntrinsicDimension(estimators="pca").find(subject())
    with pytest.raises(ParameterError, match="need a model"):
        IntrinsicDimension(layer="2").find(subject())
    with pytest.raises(ModelError, match="no layer 'conv9'"):
        RepresentationDimension(layers="conv9").find(subject(models={"net": model}))
    with pytest.raises(DataError, match="no sample could be read"):
        RepresentationDimension().find(Subject({"net": model}))
    model.net[0].weight.data[:] = torch.nan
    found = RepresentationDimension(draws=2).find(subject(models={"net": model}))
    assert "infinite or not a number" in found.rows["error"][-1]
