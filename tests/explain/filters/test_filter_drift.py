"""`filter-drift`: the matrix against direct formulas, its floors, a kept basis, and bad input."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.filters.drift import Bins, drift
from unshaken.explain.filters.filter_drift import FilterDrift


def classifier(seed, *widths, smooth=False):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        convs = [nn.Conv2d(a, b, 3) for a, b in pairwise(widths)]
        if smooth:
            for conv in convs:
                conv.weight.data += torch.randn(*conv.weight.shape[:2], 1, 1) / 3
    return Classifier(nn.Sequential(*convs))


@pytest.fixture(scope="module")
def models():
    return {
        "one": classifier(0, 3, 20, 20),
        "other": classifier(1, 3, 20, 20),
        "smooth": classifier(2, 8, 60, smooth=True),
    }


def test_the_matrix_is_the_drift_in_the_common_basis(models):
    method = FilterDrift(resamples=20)
    found = method.find(Subject(models))
    matrix, names = found.arrays["drift"].numpy(), found.extra["names"]
    assert names == ["one", "other", "smooth"]
    assert np.array_equal(matrix, matrix.T)
    assert (matrix.diagonal() == 0).all()
    assert matrix[0, 2] > 2 * matrix[0, 1] > 0
    pools = method.pools(Subject(models))
    from unshaken.explain.filters.drift import Basis

    basis = Basis.of_tensors(found.arrays, "arrays")
    assert found.extra["filters"] == min(len(p) for p in pools.values()) == 460
    c = [basis.coefficients(pools[n]) for n in ("one", "other")]
    bins = Bins(*found.extra["range"])
    assert matrix[0, 1] == pytest.approx(drift(*c, basis.shares, bins))


def test_rows_have_intervals_and_the_floor_of_halves(models):
    found = FilterDrift(resamples=20).find(Subject(models))
    assert found.rows["quantity"] == [
        "drift from other", "drift from smooth", "drift from smooth", *3 * ["drift between halves"]
    ]  # fmt: skip
    for value, low, high in zip(*(found.rows[k] for k in ("value", "low", "high")), strict=True):
        assert 0 <= low <= value <= high
    assert any("two seeds" in remark for remark in found.remarks)
    assert any("empty" in remark for remark in found.remarks)


def test_a_kept_basis_is_used_again(models, tmp_path):
    found = FilterDrift(resamples=20).find(Subject(models))
    save_file({k: v.contiguous() for k, v in found.arrays.items()}, tmp_path / "drift.safetensors")
    pair = {name: models[name] for name in ("one", "other")}
    again = FilterDrift(resamples=20, basis=str(tmp_path / "drift.safetensors"), sample=400).find(Subject(pair))
    assert torch.equal(again.arrays["basis_directions"], found.arrays["basis_directions"])
    assert again.extra["filters"] == 400


def test_tenths_of_the_depth_of_one_model(models):
    found = FilterDrift(by="depth", resamples=20).find(Subject({"one": models["one"]}))
    assert found.extra["names"] == ["depth 0.0", "depth 0.5"]
    assert found.extra["filters"] == 60


@pytest.mark.parametrize("measure", ["js", "wasserstein"])
def test_other_distances(models, measure):
    matrix = FilterDrift(measure=measure, resamples=20).find(Subject(models)).arrays["drift"]
    assert matrix[0, 2] > matrix[0, 1] > 0


def test_bad_input_is_one_clear_line(models):
    with pytest.raises(ParameterError, match="compares two sets of filters or more"):
        FilterDrift().find(Subject({"one": models["one"]}))
    with pytest.raises(ParameterError, match="sample=500: 'one' has 460 filters only"):
        FilterDrift(sample=500).find(Subject(models))
    bad = classifier(0, 3, 4)
    bad.net[0].weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(ModelError, match="layer '0' are infinite or not a number"):
        FilterDrift().find(Subject({**models, "bad": bad}))
    bad.net[0].weight.data[:] = 0
    with pytest.raises(ModelError, match="near-zero filters only"):
        FilterDrift(drop_sparse=True).find(Subject({**models, "bad": bad}))
    with pytest.raises(ModelError, match="model 'line' has no convolution"):
        FilterDrift().find(Subject({**models, "line": Classifier(nn.Linear(3, 2))}))
