"""The part of a page that shows maps: from the rows and the kept maps alone, in a browser without a network."""

from __future__ import annotations

import re
import shutil

import pytest
import torch

from unshaken.api.explain import explain
from unshaken.core.errors import RunError
from unshaken.report.blocks import Table, plain
from unshaken.report.drawings import Overlay
from unshaken.report.figures.pictures import heat
from unshaken.report.pages.explain import EXPLAIN
from unshaken.report.pages.explained.attribution import _verdict, blocks
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    """A run of two methods and a control with two metrics, on a few images."""
    out = tmp_path_factory.mktemp("explain") / "run"
    methods = ["gradcam", "integrated-gradients:steps=4"]
    explain("demo", "demo", methods, metrics=["insertion:steps=4", "deletion:steps=4"], limit=6, out=out)
    return RunDir(out)


@pytest.fixture(scope="module")
def page(run) -> str:
    return render_html(EXPLAIN.page_of(run))


def test_metrics_stand_beside_controls_and_paired_differences(run):
    found = run.read_json("explain.json")["found"]
    table = next(b for b in blocks(run, "gradcam", found["gradcam"]) if isinstance(b, Table))
    assert [c.title for c in table.columns] == ["metric", "gradcam", "random-map", "difference"]
    rows = run.rows("map_metrics").to_pylist()

    def values(name, metric):
        return [r["value"] for r in rows if (r["condition"], r["metric"]) == (name, metric)]

    for row in table.rows:
        metric = next(m for m in ("insertion", "deletion") if plain(row[0]).startswith(m))
        own, control = (sum(v) / 6 for v in (values("gradcam", metric), values("random-map", metric)))
        assert float(row[1].text) == pytest.approx(own, rel=0.01)
        assert float(row[2].text) == pytest.approx(control, rel=0.01)
        assert float(row[3].text) == pytest.approx(own - control, rel=0.01, abs=1e-4)
        assert ("higher" if metric == "insertion" else "lower") in plain(row[0])
    assert not any("add up" in str(b) for b in blocks(run, "gradcam", found["gradcam"]))
    assert any("add up" in str(b) for b in blocks(run, "integrated-gradients", found["integrated-gradients"]))


def test_every_kept_map_lies_over_its_image(run):
    found = run.read_json("explain.json")["found"]["gradcam"]
    overlay = next(b for b in blocks(run, "gradcam", found) if isinstance(b, Overlay))
    assert len(overlay.layers) == 6
    rows = {r["id"]: r for r in run.rows("attributions").to_pylist() if r["condition"] == "gradcam"}
    for one in overlay.layers:
        id = one.picture.text.removeprefix("Sample ")
        assert plain(one.lines[-1]).startswith(id)
        assert f"{100 * rows[id]['confidence']:.0f}" in plain(one.lines[-1])


def test_markdown_has_the_lines_of_the_pictures(run):
    text = render_markdown(EXPLAIN.page_of(run))
    assert text.count("sure") == 3 * 6


def test_the_page_is_small_and_asks_no_network(page):
    assert len(page) < 400_000
    assert not re.search(r"https?://|@import|url\(", page)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_slider_fades_the_maps(browser, page, width):
    view = browser.new_page(viewport={"width": width, "height": 900})
    errors: list[str] = []
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    view.set_content(page)
    over = view.locator(".overlay .over").first
    opacity = "e => getComputedStyle(e).opacity"
    assert over.evaluate(opacity) == "0.6"
    view.locator(".overlay input").first.fill("20")
    assert over.evaluate(opacity) == "0.2"
    assert view.locator(".overlay").nth(1).locator(".over").first.evaluate(opacity) == "0.6"
    boxes = view.evaluate(  # in one breath: the page may still be scrolling
        "[':first-child', '.over'].map(one => JSON.stringify("
        "document.querySelector('.layers img' + one).getBoundingClientRect()))"
    )
    assert boxes[0] == boxes[1]
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert errors == []
    view.close()


def test_colours_of_maps():
    assert heat(torch.tensor([[0.0, 1.0]]))[:, 0].mT.tolist() == [
        pytest.approx((0.0, 0.0, 0.02)), pytest.approx((0.99, 1.0, 0.64)),
    ]  # fmt: skip
    signed = heat(torch.tensor([[-2.0, 0.0, 1.0]]))[:, 0].mT
    assert signed[1].tolist() == pytest.approx([0.97] * 3)
    assert signed[0, 2] > signed[0, 0]
    assert signed[2, 0] > signed[2, 2]
    assert heat(torch.ones(2, 2)).unique().tolist() == pytest.approx([0.0, 0.02])


def test_kept_maps_of_other_samples_are_one_error_that_names_the_run(run, tmp_path):
    copy = RunDir(shutil.copytree(run.root, tmp_path / "copy"))
    kept = copy.read_tensors("maps", "gradcam-00000.safetensors")
    fewer = {"images": kept.tensors["images"][:3], "maps": kept.tensors["maps"]}
    copy.write_tensors(TensorFile(fewer, kept.ids), "maps", "gradcam-00000.safetensors")
    with pytest.raises(RunError, match=r"/copy: its files do not fit one another \(ValueError: zip"):
        EXPLAIN.page_of(copy)


@pytest.mark.parametrize(
    ("low", "high", "sign", "says"),
    [
        (0.1, 0.3, 1, "is better"),
        (0.1, 0.3, -1, "is worse"),
        (-0.3, -0.1, -1, "is better"),
        (-0.1, 0.3, 1, "is not shown to be better"),
        (-0.1, 0.3, -1, "is not shown to be better"),
        (None, None, 1, "is not shown to be better"),
    ],
)
def test_a_map_is_better_only_where_its_interval_says_so(low, high, sign, says):
    figure = {"value": 0.2, "low": low, "high": high}
    assert plain(_verdict("map", "a random map", "insertion", figure, sign)).startswith(f"map {says} than a random map")


def test_the_first_screen_says_whether_maps_are_better_than_a_random_one(run, first_screen):
    text = first_screen(EXPLAIN.page_of(run))
    assert text.startswith("Why does the model decide as it does?")
    for name in ("gradcam", "integrated-gradients"):
        assert re.search(rf"{name} is (better|worse|not shown to be better) than a random map: insertion", text)
    assert "random-map is" not in text
