"""Sets of generated images: captions, which numbers are drawn, what is drawn again, and what the file says."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
import torch

from unshaken.api import fit_generator, generate_set, measure_generated
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.data import load_data
from unshaken.generate.class_gaussian import fit_class_gaussian
from unshaken.generate.fill import PROVENANCE, HeldOut, Photos, draw_captions, fill_set, is_flat
from unshaken.harden.engine.fit import fresh
from unshaken.models import save_model

EIGHTY = [f"template {i:02} of a {{}}" for i in range(80)]


def test_each_of_80_templates_is_drawn_about_16_times_in_1300():
    captions = draw_captions(["crane"], [0] * 1300, EIGHTY, seed=2)
    uses = Counter(captions)
    assert len(uses) == 80
    chi = sum((n - 16.25) ** 2 / 16.25 for n in uses.values())
    assert 40 < chi < 130  # 79 degrees of freedom
    assert captions == draw_captions(["crane"], [0] * 1300, EIGHTY, seed=2)
    assert captions[700:710] == draw_captions(["crane"], [0] * 10, EIGHTY, seed=2, first=700)
    assert captions != draw_captions(["crane"], [0] * 1300, EIGHTY, seed=3)


def test_names_with_braces_are_text():
    assert draw_captions(["{0.__class__}"], [0]) == ["a photo of a {0.__class__}"]
    assert draw_captions(["a"], []) == []


@pytest.mark.parametrize(
    ("labels", "templates", "message"),
    [([0], [], "each needs"), ([0], ["a photo"], "each needs"), ([0], ["{} {}"], "each needs"), ([1], ["{}"], "0..0")],
)
def test_captions_without_a_place_or_a_name_are_refused(labels, templates, message):
    with pytest.raises(ParameterError, match=message):
        draw_captions(["a"], labels, templates)


LABELS = torch.tensor([0, 1, 0, 1, 0])
OPTIONS = {"steps": None, "seed": 3, "guidance": 1.0, "batch_size": 2}


@pytest.fixture(scope="module")
def model():
    pixels = torch.randint(0, 256, (40, 1, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return fit_class_gaussian(pixels, torch.arange(40) % 2)


def filled(model, checks, copies=None):
    return fill_set(model, LABELS, "label", None, 0.5, checks, copies, OPTIONS)


def test_without_refusals_image_i_is_sample_i(model):
    made = filled(model, {"flat": is_flat})
    want = model.sample(5, labels=LABELS, seed=3)
    assert torch.equal(made.images.mul(255).round(), want.mul(255).round())
    assert (made.numbers, made.drawn, made.refused) == ((0, 1, 2, 3, 4), 5, {"flat": 0})


def test_what_is_refused_is_drawn_again_under_the_next_number(model):
    calls = []

    def second(images, labels):
        calls.append(len(images))
        return torch.tensor([len(calls) == 1 and i == 1 for i in range(len(images))])

    made = filled(model, {"second": second})
    assert (made.numbers, made.drawn, made.refused) == ((0, 5, 2, 3, 4), 6, {"second": 1})
    again = model.sample(1, labels=LABELS[1:2], seed=3, first=5)
    assert torch.equal(made.images[1:2].mul(255).round(), again.mul(255).round())


def test_a_planted_copy_is_found_counted_and_replaced(model):
    plain = filled(model, {})
    apart = torch.randint(0, 256, (60, 1, 6, 6), generator=torch.Generator().manual_seed(9)).to(torch.uint8)
    apart[17] = plain.images[3].mul(255).round().byte()
    made = filled(model, {}, HeldOut(apart, [f"t{i}" for i in range(60)]))
    assert made.leaked == ((3, "t17"),)
    assert (made.refused, made.numbers[3]) == ({"leakage": 1}, 5)
    assert not torch.equal(made.images[3], plain.images[3])


def test_it_gives_up_with_the_counts(model):
    with pytest.raises(RunError, match=r"5 of 5 places are empty after 10 rounds \(refused: never 50; class 0"):
        filled(model, {"never": lambda images, _: torch.ones(len(images), dtype=torch.bool)})


def test_images_of_one_shade_are_flat():
    assert is_flat(torch.stack([torch.zeros(1, 2, 2), torch.eye(2)[None]]), LABELS[:2]).tolist() == [True, False]


def test_photos_of_a_class_are_taken_in_turn_by_their_ids():
    images, given, ids = torch.zeros(6, 1, 2, 2).byte(), torch.tensor([0, 0, 0, 1, 1, 1]), list("abcdef")
    places = Photos.of(images, given, ids, torch.tensor([1, 0, 1, 1, 1, 0]), 0).places
    assert sorted(places[[0, 2, 3]].tolist()) == [3, 4, 5]
    assert places[4] == places[0]
    assert len({*places[[1, 5]].tolist()} & {0, 1, 2}) == 2
    with pytest.raises(DataError, match="no image of class 7"):
        Photos.of(images, given, ids, torch.tensor([7]), 0)


SOURCE = "demo?size=8"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("generator") / "g.safetensors"
    fit_generator(SOURCE, "class-gaussian:components=6,clusters=2", out=path, conditional=True)
    return path


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The SPEC of an untrained network, whose head weighs 80 features."""
    folder = tmp_path_factory.mktemp("judge")
    images = torch.randint(0, 255, (8, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    save_model(fresh("small-cnn", images, classes=10, seed=0), folder, arch="small-cnn")
    return f"run:{folder}"


def test_one_set_made_twice_is_equal_to_the_byte_and_another_seed_is_not(file, tmp_path):
    for name, seed, batch in (("a", 4, 64), ("b", 4, 7), ("c", 5, 64)):
        generate_set(file, 25, out=tmp_path / f"{name}.parquet", seed=seed, guidance=1.5, batch_size=batch)
    one, two, other = ((tmp_path / f"{name}.parquet").read_bytes() for name in "abc")
    assert one == two != other
    data = load_data(f"parquet:{tmp_path}/a.parquet")
    assert data.labels.tolist() == [i % 10 for i in range(25)]
    table = pq.read_table(tmp_path / "a.parquet")
    assert {*table["seed"].to_pylist()} == {4}
    assert {*table["guidance"].to_pylist()} == {1.5}
    about = json.loads(table.schema.metadata[PROVENANCE])
    assert (about["n"], about["seed"], about["condition"], about["drawn"]) == (25, 4, "label", 25)
    assert about["generator"]["kind"] == "class-gaussian"


def test_variations_name_the_images_that_they_come_from(file, tmp_path):
    real = load_data(SOURCE)
    for condition in ("image", "both"):
        made = generate_set(
            file, 6, out=tmp_path / f"{condition}.parquet", condition=condition, source=SOURCE, strength=0.3,
            classes=[2, 7],
        )  # fmt: skip
        sources = pq.read_table(tmp_path / f"{condition}.parquet")["source"].to_pylist()
        assert [int(real.labels[real.ids.index(name)]) for name in sources] == [2, 7] * 3
        start = torch.stack([torch.from_numpy(real.read(real.ids.index(n))[..., 0] / 255.0) for n in sources])
        shuffled = (made.images[:, 0] - start.flip(0)).square().mean()
        assert (made.images[:, 0] - start).square().mean() < shuffled / 2


def test_a_filter_refuses_what_the_classifier_does_not_see(file):
    loose = generate_set(file, 10, seed=1)
    strict = generate_set(file, 10, seed=1, filter_model="demo:standard", confidence=0.01)
    assert (loose.drawn, loose.refused) == (10, {"flat": 0})
    assert strict.drawn == 10 + strict.refused["confidence"] > 10
    assert set(strict.numbers) & set(loose.numbers)


def test_figures_of_a_set_bear_the_name_of_the_network(file, judge, tmp_path):
    generate_set(file, 200, out=tmp_path / "made.parquet")
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
def test_bad_input_is_one_line_and_leaves_nothing(file, tmp_path, options, error, message):
    with pytest.raises(error, match=message) as caught:
        generate_set(file, **{"n": 4, **options}, out=tmp_path / "set.parquet")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "set.parquet").exists()


def test_sets_of_other_sizes_are_not_compared(judge):
    with pytest.raises(DataError, match=r"1x8x8 \(channels x height x width\) and generated ones 1x28x28"):
        measure_generated(SOURCE, "demo", model=judge, limit=20)
