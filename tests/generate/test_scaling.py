"""`generate scaling`: nested sets, trainings that are kept one by one, and figures from rows alone."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from unshaken.api import generate_scaling
from unshaken.api.generate_scaling import measure_scaling, nested_order
from unshaken.cli import main
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.data.arrays import InMemory
from unshaken.measure import fit_power_law
from unshaken.store.run_dir import RunDir

SIZES = (6, 12)
TINY = {"model": "small-cnn", "sizes": SIZES, "repetitions": 2, "updates": 3, "batch_size": 4}


def tints(n, seed, *, side=4, classes=3):
    """Images whose shade tells the class, with noise."""
    rng = np.random.default_rng(seed)
    labels = torch.arange(n) % classes
    shades = 40 + 80 * labels[:, None, None, None] + torch.from_numpy(rng.normal(0, 30, (n, 1, side, side)))
    return InMemory(shades.clamp(0, 255).byte(), labels)


def sets():
    return {"real": tints(12, 0), "generated": tints(15, 1), "test": tints(30, 2)}


def test_every_set_holds_the_smaller_ones_and_its_share_of_each_class():
    labels = torch.tensor([0] * 40 + [1] * 20 + [2] * 4)
    order = nested_order(labels, 3, 5)
    assert sorted(order.tolist()) == list(range(64))
    assert torch.bincount(labels[order[:32]], minlength=3).tolist() == [20, 10, 2]
    assert (torch.bincount(labels[order[:16]], minlength=3) >= torch.tensor([9, 4, 1])).all()
    assert order.tolist() == nested_order(labels, 3, 5).tolist() != nested_order(labels, 3, 6).tolist()


def test_figures_are_those_of_the_rows(tmp_path):
    result = measure_scaling(**sets(), **TINY, out=tmp_path / "run")
    rows, figures = result.run.rows("scaling"), result.summary["figures"]
    assert len(rows) == 2 * 2 * 2 * 24  # sources, sizes, repetitions, and the test images that choose no temperature
    for name in ("real", "generated"):
        own = rows.filter(pc.equal(rows["method"], name)).to_pandas()
        means = own.groupby("images")["loss"].mean()
        assert figures[name]["loss"] == {str(n): pytest.approx(means[n]) for n in SIZES}
        law = fit_power_law(SIZES, means.to_numpy())
        assert figures[name]["exponent"]["value"] == pytest.approx(law.exponent)
        right = (own["label"] == own["prediction"])[own["images"] == 12].mean()
        assert figures[name]["accuracy"]["12"]["value"] == pytest.approx(right)
    assert result.run.read_json("scaling.json")["finished"]
    assert "one real image" in (tmp_path / "run/report.md").read_text() or "no number" in str(figures)


def test_a_killed_run_goes_on_to_equal_rows(tmp_path, monkeypatch):
    whole = measure_scaling(**sets(), **TINY, out=tmp_path / "whole")
    left, real_fit = [5], generate_scaling.fit

    def dying(*args, **options):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real_fit(*args, **options)

    monkeypatch.setattr(generate_scaling, "fit", dying)
    with pytest.raises(KeyboardInterrupt):
        measure_scaling(**sets(), **TINY, out=tmp_path / "run")
    with pytest.raises(RunError, match="its trainings have not finished; add --resume"):
        generate_scaling.SCALING.page_of(RunDir(tmp_path / "run"))
    with pytest.raises(RunError, match="holds a run already; add --resume"):
        measure_scaling(**sets(), **TINY, out=tmp_path / "run")
    with pytest.raises(RunError, match=r"begun with other settings \(updates differ\)"):
        measure_scaling(**sets(), **TINY | {"updates": 4}, out=tmp_path / "run", resume=True)
    left[0] = 5  # four are there, four are left
    resumed = measure_scaling(**sets(), **TINY, out=tmp_path / "run", resume=True)
    assert left[0] == 1
    keys = [(name, "ascending") for name in ("condition", "repetition", "id")]
    assert resumed.run.rows("scaling").sort_by(keys).equals(whole.run.rows("scaling").sort_by(keys))
    assert resumed.summary["figures"] == whole.summary["figures"]


def test_test_images_among_the_training_images_are_remarked_on(tmp_path):
    given = sets() | {"generated": tints(30, 2)}
    remarks = measure_scaling(**given, **TINY, out=tmp_path / "run").summary["remarks"]
    assert remarks == [
        "30 of the 30 images of generated are test images, pixel for pixel: its curve is better than it should be."
    ]
    assert remarks[0] in (tmp_path / "run/report.md").read_text()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sizes": (12, 6)}, ParameterError, "sizes 12,6: give two or more numbers of images, rising"),
        ({"sizes": (6,)}, ParameterError, "sizes 6: give two or more"),
        ({"sizes": (6, 13)}, DataError, "has 12 images, and the largest size is 13"),
        ({"sizes": (2, 6)}, DataError, "a size is 2 for 3 classes"),
        ({"limit": 9}, DataError, "has 9 images, and the largest size is 12"),
        ({"limit": 0}, ParameterError, "limit 0 must be"),
        ({"repetitions": 0}, ParameterError, "repetitions 0 must be"),
        ({"updates": 0}, ParameterError, "updates 0 must be"),
        ({"lr": float("nan")}, ParameterError, "lr=nan must be above 0"),
        ({"model": "smal-cnn"}, ParameterError, "smal-cnn"),
        ({"methods": "pgd-traning"}, ParameterError, "no method 'pgd-traning' in harden"),
        ({"generated": []}, ParameterError, "no generated images are named"),
        ({"generated": tints(15, 1, side=8)}, DataError, "are 1x8x8 .* and real ones 1x4x4: give [?]size="),
        ({"generated": tints(15, 1, classes=4)}, DataError, "has the class 3; the real images have 3"),
        ({"generated": tints(15, 1, classes=2)}, DataError, "1 of 3 classes have no image"),
        ({"test": tints(6, 2)}, DataError, "6 test images are too few"),
        ({"test": InMemory(torch.zeros(12, 1, 4, 4, dtype=torch.uint8))}, DataError, "has no labels"),
    ],
)
def test_bad_input_is_one_line_before_any_training(tmp_path, change, error, message, monkeypatch):
    monkeypatch.setattr(generate_scaling, "fit", None)
    with pytest.raises(error, match=message) as found:
        measure_scaling(**{**sets(), **TINY, **change}, out=tmp_path / "run")
    assert "\n" not in str(found.value)


def test_classes_of_other_names_are_refused(tmp_path):
    named = [
        InMemory(tints(15, seed).images, torch.arange(15) % 3, classes=names)
        for seed, names in ((0, "abc"), (1, "bac"))
    ]
    with pytest.raises(DataError, match="name them alike, in one order"):
        measure_scaling(named[0], named[1], tints(30, 2), **TINY, out=tmp_path / "run")


def test_the_command_shows_and_rebuilds_its_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = "generate scaling --real demo?split=first --generated demo?split=first --test demo?split=second"
    words = [*line.split(), "--model", "small-cnn", "--sizes", "20,40", "--repetitions", "1", "--updates", "2"]
    assert main([*words, "--out", "run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["figures"]
    assert found["real"] | {"exponent_below_real": 0, "worth": 0} == found["generated"] | {
        "exponent_below_real": 0,
        "worth": 0,
    }
    page = (tmp_path / "run/report.html").read_text()
    (tmp_path / "run/report.html").unlink()
    assert main(["report", "run"]) == 0
    assert (tmp_path / "run/report.html").read_text() == page
    assert "One repetition: the intervals hold test images alone" in page
    assert main([*words, "--out", "run"]) == 2
    assert main([*words[:-1], "x", "--out", "other"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
