"""`filter-quality`: rows against direct formulas, summaries, and bad input."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.filters.filter_quality import FilterQuality
from unshaken.explain.filters.kernels import conv_layers
from unshaken.explain.filters.measures import orthogonality, random_entropy, variance_entropy


def classifier(*widths, name="net"):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convs = [nn.Conv2d(a, b, 3) for a, b in pairwise(widths)]
    return Classifier(nn.Sequential(*convs), name=name)


@pytest.fixture
def model():
    return classifier(2, 10, 12)


def find(model, **options):
    return FilterQuality(**options).find(Subject({"net": model}))


def test_rows_are_those_of_the_formulas(model):
    found = find(model)
    layers = conv_layers(model)
    assert found.rows["layer"] == ["0", "1"]
    assert found.rows["depth"] == [0, 0.5]
    assert found.rows["filters"] == [20, 120]
    assert found.rows["entropy"] == [variance_entropy(x.filters) for x in layers]
    assert found.rows["orthogonality"] == [orthogonality(x.weight) for x in layers]
    assert found.rows["random_entropy"] == [random_entropy(20), random_entropy(120)]
    mean = found.figures["entropy_by_filter"]
    assert mean.value == pytest.approx(np.average(found.rows["entropy"], weights=[20, 120]))
    assert mean.low <= mean.value <= mean.high
    assert found.figures["entropy_by_layer"].value == pytest.approx(np.mean(found.rows["entropy"]))


def test_degenerate_layers_are_named_by_kind_and_counted(model):
    with torch.no_grad():
        model.net[1].weight[:9] = 0
        model.net[1].weight[9:] = (1 + torch.rand(3, 10, 1, 1)) * torch.ones(3, 3)
    found = find(model)
    assert found.rows["degenerate"][1] == "sparse+low-variance"
    assert found.rows["sparsity"][1] == 0.75
    assert found.figures["sparse_layers"].value == 0.5
    assert found.figures["low_variance_filters"].value == pytest.approx(120 / 140)
    assert find(model, sparse=0.75, low=0).rows["degenerate"][1] == ""
    model.net[1].weight.data[9:] = torch.randn(3, 10, 3, 3)
    assert find(model, clean=True).rows["entropy"][1] == pytest.approx(
        variance_entropy(conv_layers(model)[1].filters[90:])
    )


def test_a_layer_of_one_filter_has_no_orthogonality_and_is_not_judged():
    found = find(classifier(1, 1, 4))
    assert found.rows["orthogonality"][0] is None
    assert found.rows["entropy"][0] == 0
    assert found.rows["degenerate"] == ["", ""]
    assert any("2 layers have fewer than 16 filters" in remark for remark in found.remarks)


def test_a_layer_that_is_not_finite_is_a_row_with_an_error(model):
    model.net[0].weight.data[0, 0, 0, 0] = torch.nan
    found = find(model)
    assert found.rows["error"] == ["its weights are infinite or not a number", None]
    assert found.rows["entropy"][0] is None
    assert any("Left out" in remark and " 0." in remark for remark in found.remarks)
    model.net[1].weight.data[0, 0, 0, 0] = torch.inf
    with pytest.raises(ModelError, match="all its convolutions are infinite or not a number"):
        find(model)


def test_other_sizes_have_no_random_threshold(model):
    with pytest.raises(ModelError, match="no convolution with 5 x 5 kernels"):
        find(model, size=5)
    with pytest.raises(ParameterError, match="size=1"):
        FilterQuality(size=1)
    wide = Classifier(nn.Sequential(nn.Conv2d(3, 10, 5)))
    found = find(wide, size=5)
    assert found.rows["random_entropy"] == [None]
    assert any("known for 3 x 3 kernels only" in remark for remark in found.remarks)
    assert not any("known for 3 x 3 kernels only" in remark for remark in find(model).remarks)


def test_depthwise_layers_may_be_left_out():
    model = Classifier(nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, groups=6)))
    assert find(model).rows["filters"] == [18, 6]
    assert find(model, depthwise=False).rows["filters"] == [18]


def test_several_models_have_rows_and_figures_each(model):
    found = FilterQuality().find(Subject({"a": model, "b": classifier(3, 8)}))
    assert found.rows["model"] == ["a", "a", "b"]
    assert {"a.sparse_layers", "b.entropy_by_layer"} <= set(found.figures)
