"""A model's outputs and the classes of the data: which fit, and which need a new head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.data import load_data
from unshaken.data.arrays import InMemory
from unshaken.harden.engine.prepared import prepared
from unshaken.harden.engine.training import Training


def net(outputs, classes=()):
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, outputs)), classes=classes, name="net")


@pytest.fixture
def data(photos):
    return InMemory(*photos, classes=[str(i) for i in range(10)])


def made(model, data, **options):
    given = {"new_head": False, "limit": None, "workers": None, "download": False}
    return prepared(model, data, Training(), **given | options)


def test_a_model_with_the_classes_of_the_data_is_taken_as_it_is(data):
    model = net(10)
    for new_head in (False, True):
        start, samples = made(model, data, new_head=new_head)
        assert start.model is model
        assert samples.classes == 10
    assert made(model.net, data)[0].arch == "py:<Sequential>"


@pytest.mark.parametrize("outputs", [9, 11])
def test_other_numbers_of_outputs_need_a_new_head(data, outputs):
    with pytest.raises(ModelError, match=f"model 'net' has {outputs} outputs, the data 10 classes: give --new-head"):
        made(net(outputs), data)
    start, samples = made(net(outputs), data, new_head=True)
    assert start.model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert samples.classes == 10


def test_a_model_of_more_classes_by_name_keeps_them(data):
    model = net(11, tuple(str(i) for i in range(11)))
    start, samples = made(model, data)
    assert start.model is model
    assert samples.classes == 11


def test_labels_are_the_classes_of_the_model_by_name(photos):
    names = tuple("abcdefghij")
    samples = made(net(10, names[::-1]), InMemory(*photos, classes=names))[1]
    assert samples.labels.tolist() == [9 - int(label) for label in photos[1]]


def test_labels_are_needed_unless_a_recipe_learns_without(photos):
    alone = InMemory(photos[0])
    with pytest.raises(ParameterError, match="has no labels"):
        made("small", alone)
    start, samples = made("small", alone, unlabelled=True)
    assert not samples.labelled
    assert start.model(torch.zeros(2, 1, 28, 28)).shape[0] == 2


def test_a_fresh_network_has_as_many_outputs_as_there_are_classes():
    start, samples = made("small-cnn", load_data("demo"), limit=50)
    assert start.model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert len(samples.good) == 50


def test_without_names_there_are_as_many_classes_as_the_largest_label_and_one(photos):
    start, samples = made(net(10), InMemory(*photos))
    assert samples.classes == 10
    assert start.model(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
    with pytest.raises(ModelError, match="has 10 outputs, the data 8 classes"):
        made(net(10), InMemory(photos[0], photos[1].clamp(max=7)))
