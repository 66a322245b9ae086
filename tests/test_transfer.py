"""`unshaken.transfer`: a table known by hand, its page, resuming, gates, and wrong arguments."""

from __future__ import annotations

import json

import numpy as np
import pytest
from torch import nn

import unshaken
from tests.flat_images import flat_images
from unshaken.core.errors import ParameterError

NETS = """
from tests.flat_images import Brightness

class Left(Brightness):  # looks at the left half alone, so its examples change no other
    def forward(self, images):
        return super().forward(images[..., :4])

def exact(): return Brightness(0.5).eval()
def left(): return Left(0.6).eval()
"""
EPS = 0.1


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    file = tmp_path_factory.mktemp("nets") / "nets.py"
    file.write_text(NETS)
    return {name: f"py:{file}:{name}" for name in ("exact", "left")}


@pytest.fixture(scope="module")
def made(nets, tmp_path_factory):
    out = tmp_path_factory.mktemp("transfer") / "all"
    gates = ["left: transfer.accuracy >= 0.99", "exact: random-noise.accuracy >= 0.5"]
    return unshaken.transfer(nets, flat_images(), "fgsm", eps=EPS, out=out, gates=gates, save_examples=0)


def expected(source, target):
    """Counts by hand: FGSM darkens light images by eps and brightens dark ones, by `left` on the left half alone."""
    pixels, labels = flat_images()
    mean, light = pixels[:, 0, 0, 0] / 255, labels == 1
    threshold = {"exact": 0.5, "left": 0.6}
    right = [(mean > threshold[name]) == light for name in (source, target)]
    left = np.clip(np.where(light, mean - EPS, mean + EPS), 0, 1)
    seen = (left + mean) / 2 if (source, target) == ("left", "exact") else left
    both = right[0] & right[1]
    return int((both & ((seen > threshold[target]) != light)).sum()), int(both.sum())


def test_each_cell_is_the_share_of_the_images_that_both_have_right(made):
    (table,) = made.summary["transfer"]
    assert (table["search"], table["norm"], table["eps"]) == ("fgsm", "linf", EPS)
    found = {(one["source"], one["target"]): one["misled"] for one in table["pairs"]}
    assert list(found) == [(s, t) for s in ("exact", "left") for t in ("exact", "left")]
    for pair, figure in found.items():
        misled, n = expected(*pair)
        assert (round(figure["value"] * n), figure["n"]) == (misled, n)
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert 0 < misled < n
    assert found["left", "exact"]["value"] != found["exact", "left"]["value"]
    assert found["exact", "exact"]["n"] == 60
    noise = {one["target"]: one["misled"] for one in table["noise"]}
    assert noise["exact"]["n"] == 60
    assert all(noise[name]["value"] < found[name, name]["value"] / 2 for name in noise)
    assert json.loads(made.run.read("matrix.json"))["transfer"] == made.summary["transfer"]


def test_gates_are_about_targets(made):
    assert not made.held
    assert {cell.model: cell.gates.verdict for cell in made.cells} == {"exact": "held", "left": "failed"}


def test_a_table_goes_on_where_it_was_stopped_and_takes_another_model(made, nets, tmp_path):
    first = {"exact": nets["exact"], "left": nets["left"]}
    options = {"out": tmp_path / "o", "save_examples": 0}
    one = unshaken.transfer(first, flat_images(), "fgsm", eps=EPS, sources=["exact"], **options)
    (table,) = one.summary["transfer"]
    assert [(p["source"], p["target"]) for p in table["pairs"]] == [("exact", "exact"), ("exact", "left")]
    before = (one.cells[0].run.path, one.cells[0].summary["cost"])
    (one.run.fs.rm(one.cells[1].run.root, recursive=True))
    again = unshaken.transfer(first, flat_images(), "fgsm", eps=EPS, sources=["exact"], resume=True, **options)
    assert (again.cells[0].run.path, again.cells[0].summary["cost"]) == before
    assert again.summary["transfer"] == one.summary["transfer"]


def test_the_page_shows_the_table_on_a_screen_and_a_telephone(made, browser):
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(f"file://{made.run.root}/index.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cells = page.eval_on_selector_all(
            "table.matrix tbody tr", "rows => rows.map(r => [...r.children].map(c => c.innerText.trim()))"
        )
        misled, n = expected("left", "exact")
        assert [row[0] for row in cells] == ["exact", "left", "(random noise)"]
        assert cells[1][1] == f"{100 * misled / n:.0f}"
        page.close()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"models": ["demo"]}, "two models at least, not 1"),
        ({"models": {"a": "demo", "b": nn.Identity()}}, "model 'b': examples are made on it by its SPEC"),
        ({"sources": ["demo-robst"]}, "source 'demo-robst' is no model of this table; did you mean 'demo-robust'"),
        ({"sources": []}, "no source is given"),
        ({"method": "deepfool"}, "'deepfool' is not a single attack within a norm"),
        ({"method": "autoattack"}, "'autoattack' is not a single attack within a norm"),
        ({"method": "pdg"}, "did you mean"),
        ({"norm": "l7"}, "'l7' is not one of linf, l2, l1"),
        ({"eps": 8}, "did you mean 8/255"),
        ({"out": None}, "needs an out"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, line, tmp_path):
    given = {"models": ["demo:standard", "demo:robust"], "data": "demo", "out": tmp_path / "o", **arguments}
    with pytest.raises(ParameterError, match=line) as caught:
        unshaken.transfer(**given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "o").exists()
