"""Generated images beside real ones: how many of each class, which, and that ratio 0 is the real data bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.data import from_arrays, load_data, stream, subset
from unshaken.data.mix import mix_datasets
from unshaken.data.resident import Samples
from unshaken.data.spec import divide, with_option
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training


@pytest.fixture
def spec(tmp_path, make):
    """Two of the demo's images of each class as generated ones; the SPEC of their mix with the demo, without ratio."""
    demo = load_data("demo")
    rows = [int(i) for c in range(10) for i in np.flatnonzero(demo.labels == c)[:2]]
    images = [make.encode(demo.read(i)[..., 0]) for i in rows]
    make.table(tmp_path / "made.parquet", images, label=demo.labels[rows].tolist())
    return f"mix:demo?longtail=1+parquet:{tmp_path}/made.parquet"


def test_a_mix_is_the_real_data_and_then_generated_images_of_each_class(spec, tmp_path):
    real, found = load_data("demo?longtail=1"), load_data(f"{spec}@0.02")
    assert len(found) == 1020
    assert np.bincount(found.labels[found.is_generated]).tolist() == [2] * 10
    assert found.ids[:1000] == real.ids
    assert all(name.startswith("generated/") for name in found.ids[1000:])
    assert np.array_equal(found.read(3), real.read(3))
    made = load_data(f"parquet:{tmp_path}/made.parquet")
    assert np.array_equal(found.read(1005), made.read(int(found.rows[5])))
    half = load_data(f"{spec}@0.01")
    assert np.bincount(half.labels[half.is_generated]).tolist() == [1] * 10
    assert set(half.ids) < set(found.ids)
    assert load_data(f"{spec}@0.01:1").ids != half.ids
    assert len({real.fingerprint, found.fingerprint, half.fingerprint}) == 3
    assert load_data(f"{spec}@0.01").fingerprint == half.fingerprint


def test_counts_of_classes_are_within_one(tmp_path, make):
    real = from_arrays(np.zeros((7, 4, 4), np.uint8), [0, 0, 1, 1, 2, 2, 2])
    made = from_arrays(np.zeros((12, 4, 4), np.uint8), [0, 1, 2] * 4)
    for ratio, counts in ((0.5, [1, 1, 2]), (1, [2, 2, 3]), (0.3, [1, 0, 1]), (0, [0, 0, 0])):
        found = mix_datasets(real, made, ratio)
        assert len(found) == 7 + sum(counts)
        assert np.bincount(found.labels[found.is_generated], minlength=3).tolist() == counts


def test_with_ratio_0_a_training_repeats_bit_by_bit(spec):
    weights = []
    for name in ("demo?longtail=1", f"{spec}@0"):
        data = load_data(name)
        (batch,) = stream(data, subset(data, 50, 0), batch_size=50)
        images = batch.images.mul(255).round().byte()
        model = fit(fresh("small-cnn", images, classes=10, seed=0), images, batch.labels, [], Training(epochs=1)).model
        weights.append((data.ids, torch.cat([w.flatten() for w in model.state_dict().values()])))
    assert weights[0][0] == weights[1][0]
    assert torch.equal(weights[0][1], weights[1][1])


def test_only_real_images_are_held_out_of_a_training(spec):
    """The same ones as without generated images, so that held-out accuracies compare."""
    held = {}
    for name in ("demo?longtail=1", f"{spec}@0", f"{spec}@0.02"):
        samples = Samples(load_data(name), None, 10)
        rows, apart = samples.split(100, seed=3)
        held[name] = [samples.dataset.ids[i] for i in apart]
        assert sorted([*rows, *apart]) == list(range(len(samples.dataset)))
    assert held["demo?longtail=1"] == held[f"{spec}@0"] == held[f"{spec}@0.02"]
    some = Samples(load_data(f"{spec}@0.02"), None, 10, limit=500)
    rows, apart = some.split(1000, seed=0)
    real = int((some.good < 1000).sum())
    assert (len(apart), int(apart.max()) < 1000) == (real // 5, True)
    assert set(apart) <= set(some.good)


def test_options_of_parts_and_of_the_mix(spec):
    text = f"{spec}?size=8&mode=L@0.01?size=14&noise=pair:1"
    assert divide(text)[2] == {"size": "14", "noise": "pair:1"}
    assert with_option(text, "size", "7").endswith("@0.01?noise=pair:1&size=7")
    found = load_data(text)
    assert found.read(1000).shape == (14, 14, 1)
    assert found.fetch(1000).shape == (8, 8)
    assert (found.labels == (found.true_labels + 1) % 10).all()
    once = load_data(f"{spec.replace('longtail=1', 'noise=pair:1')}@0")
    assert (once.labels == (load_data("demo").labels + 1) % 10).all()  # the part's noise is not made twice


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("@0.03", "class 0 has 2 generated images and needs 3 at ratio 0.03: generate more"),
        ("@-1", "the ratio must be a number of 0 or more"),
        ("@1e", "the ratio must be a number of 0 or more"),
        ("@1e30", "the ratio must be a number of 0 or more, and at most 1,000,000"),
        ("", "is not of the form mix:REAL"),
        ("+demo@1", "is not of the form mix:REAL"),
        ("?size=8@0.01", "real images are of 28x28 pixels and generated ones of 8x8: give the mix a size"),
        ("@0.01?split=train", "has no option 'split'"),
    ],
)
def test_bad_mixes_are_one_line(spec, tail, message):
    with pytest.raises(DataError, match=message.replace("+", r"\+")) as caught:
        load_data(spec + tail)
    assert "\n" not in str(caught.value)


def test_parts_must_fit_together():
    pixels = np.zeros((4, 4, 4), np.uint8)
    real = from_arrays(pixels, [0, 1, 0, 1], classes=["a", "b"])
    for made, message in (
        (from_arrays(pixels), "no class for each image"),
        (from_arrays(pixels, [0, 1, 2, 1]), "have the class 2; real ones 0 to 1"),
        (from_arrays(pixels, [0, 1, 0, 1], classes=["b", "a"]), "classes differ, a, b and b, a"),
    ):
        with pytest.raises(DataError, match=message):
            mix_datasets(real, made, 1)
