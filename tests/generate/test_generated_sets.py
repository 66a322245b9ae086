"""Whole sets through the public functions: equal to the byte, conditions, filters, figures, and bad input."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import torch

from unshaken.api import fit_generator, generate_set, measure_generated
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import load_data
from unshaken.generate.labelled_set import read_provenance
from unshaken.harden.engine.fit import fresh
from unshaken.models import save_model

SOURCE = "demo?size=8"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("generator") / "g.safetensors"
    fit_generator(SOURCE, "class-gaussian:components=6,clusters=2", out=file, conditional=True)
    return file


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The SPEC of an untrained network, whose head weighs 80 features."""
    folder = tmp_path_factory.mktemp("judge")
    images = torch.randint(0, 255, (8, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    save_model(fresh("small-cnn", images, classes=10, seed=0), folder, arch="small-cnn")
    return f"run:{folder}"


def test_one_set_made_twice_is_equal_to_the_byte_and_another_seed_is_not(model, tmp_path):
    for name, seed, batch in (("a", 4, 64), ("b", 4, 7), ("c", 5, 64)):
        generate_set(model, 25, out=tmp_path / f"{name}.parquet", seed=seed, guidance=1.5, batch_size=batch)
    one, two, other = ((tmp_path / f"{name}.parquet").read_bytes() for name in "abc")
    assert one == two != other
    data = load_data(f"parquet:{tmp_path}/a.parquet")
    assert data.labels.tolist() == [i % 10 for i in range(25)]
    table = pq.read_table(tmp_path / "a.parquet")
    assert {*table["seed"].to_pylist()} == {4}
    assert {*table["guidance"].to_pylist()} == {1.5}
    about = read_provenance(tmp_path / "a.parquet")
    assert (about["n"], about["seed"], about["condition"], about["drawn"]) == (25, 4, "label", 25)
    assert about["generator"]["kind"] == "class-gaussian"


def test_variations_name_the_images_that_they_come_from(model, tmp_path):
    real = load_data(SOURCE)
    for condition in ("image", "both"):
        made = generate_set(
            model, 6, out=tmp_path / f"{condition}.parquet", condition=condition, source=SOURCE, strength=0.3,
            classes=[2, 7],
        )  # fmt: skip
        sources = pq.read_table(tmp_path / f"{condition}.parquet")["source"].to_pylist()
        assert [int(real.labels[real.ids.index(name)]) for name in sources] == [2, 7] * 3
        start = torch.stack([torch.from_numpy(real.read(real.ids.index(n))[..., 0] / 255.0) for n in sources])
        shuffled = (made.images[:, 0] - start.flip(0)).square().mean()
        assert (made.images[:, 0] - start).square().mean() < shuffled / 2


def test_a_filter_refuses_what_the_classifier_does_not_see(model):
    loose = generate_set(model, 10, seed=1)
    strict = generate_set(model, 10, seed=1, filter_model="demo:standard", confidence=0.01)
    assert (loose.drawn, loose.refused) == (10, {"flat": 0})
    assert strict.drawn == 10 + strict.refused["confidence"] > 10
    assert set(strict.numbers) & set(loose.numbers)


def test_figures_of_a_set_bear_the_name_of_the_network(model, judge, tmp_path):
    generate_set(model, 200, out=tmp_path / "made.parquet")
    options = {"model": judge, "limit": 200, "held_out": "demo?size=8"}
    found = measure_generated(SOURCE, f"parquet:{tmp_path}/made.parquet", **options)
    assert (found["features"], found["real"], found["generated"]) == (judge, 200, 200)
    assert found["dimensions"] == 80
    assert found["frechet_distance"] > found["frechet_at_infinity"]
    assert 0 <= found["recall"]["value"] <= found["precision"]["high"] <= 1
    assert 0 < found["recognisability"] <= 1
    same = measure_generated(SOURCE, SOURCE, **options)
    assert same["frechet_distance"] == pytest.approx(0, abs=1e-6 * same["diversity"])
    assert same["copies"]["value"] == 1  # all of them are held-out images
    few = measure_generated(SOURCE, SOURCE, model=judge, limit=50)
    assert few["frechet_distance"] is None
    assert (
        "50 samples of 80 dimensions: a Frechet distance needs at least 81 samples"
        in few["reasons"]["frechet_distance"]
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ParameterError, "n=0 must be 1 or more"),
        ({"condition": "text"}, ParameterError, "condition 'text' is not one of label, image, both"),
        ({"condition": "image"}, ParameterError, "give a source to vary"),
        ({"source": SOURCE}, ParameterError, "leave the source out"),
        ({"classes": [10]}, ParameterError, "give one or more from 0 to 9"),
        ({"classes": []}, ParameterError, "give one or more from 0 to 9"),
        ({"confidence": 2.0}, ParameterError, r"confidence=2 in \[0, 1\]"),
        ({"guidance": float("nan")}, ParameterError, "guidance=nan must be above 0"),
        ({"held_out": "demo"}, Exception, "for images of 1x8x8"),
        ({"condition": "both", "source": "demo?size=9"}, Exception, "not 1x9x9"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(model, tmp_path, options, error, message):
    with pytest.raises(error, match=message) as caught:
        generate_set(model, **{"n": 4, **options}, out=tmp_path / "set.parquet")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "set.parquet").exists()


def test_sets_of_other_sizes_are_not_compared(judge):
    with pytest.raises(DataError, match=r"1x8x8 \(channels x height x width\) and generated ones 1x28x28"):
        measure_generated(SOURCE, "demo", model=judge, limit=20)
