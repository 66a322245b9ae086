"""`unshaken.matrix` from Python, its page in a browser, and its cells in the list of `unshaken serve`."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from torch import nn

import unshaken
from tests.flat_images import Brightness, flat_images
from unshaken.core.errors import ParameterError
from unshaken.data import streaming
from unshaken.data.streaming import open_image
from unshaken.report.matrix import LOWEST, read_matrix
from unshaken.store.run_dir import RunDir

FOG = [{"method": "fog", "severities": [1]}]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four models, of which the last fails, on two data sets under two plans."""
    models = {"exact": Brightness(0.5), "near": Brightness(0.52), "far": Brightness(0.9), "torn": nn.Conv2d(7, 2, 3)}
    return unshaken.matrix(
        models,
        {"flat": flat_images(), "few": flat_images(20)},
        {"clean": [], "fog": FOG},
        out=tmp_path_factory.mktemp("matrix") / "all",
        save_examples=0,
        gates=["exact/flat: clean.accuracy >= 0.9"],
    )


def test_the_result_has_cells_a_table_and_what_failed(made):
    assert [cell.place for cell in made.cells[:4]] == [
        "exact/flat/clean", "exact/flat/fog", "exact/few/clean", "exact/few/fog",
    ]  # fmt: skip
    assert {cell.model for cell in made.failed} == {"torn"}
    assert len(made.failed) == 4
    assert made.held
    assert made.bad_samples == ()
    rows = made.table()
    assert len(rows) == 16
    assert rows[0]["clean"] == rows[0]["value"] == 1.0
    assert (rows[0]["rank_low"], rows[0]["rank_high"]) == (1, 2)
    far = next(row for row in rows if row["run"] == "far/flat/clean")
    assert (far["rank_low"], far["rank_high"], far["state"]) == (3, 3, "finished")
    assert far["forwards"] >= 60
    with open(f"{made.run}/matrix.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["run"] for row in written] == [row["run"] for row in rows]
    assert float(written[0]["low"]) == rows[0]["low"]
    assert "Matrix of models" in made._repr_html_()


def test_all_differences_are_one_family(made):
    summary = json.loads(made.run.read("matrix.json"))
    figures = {(c["data"], c["plan"]): set(c["pairs"]) for c in summary["columns"]}
    assert figures["flat", "clean"] == {"clean"}
    assert figures["flat", "fog"] == {"clean", "worst_natural"}
    assert summary["family"] == 3 * 6  # three pairs of models; a figure, and for fog two, of two data sets
    assert {p["family"] for c in summary["columns"] for of in c["pairs"].values() for p in of} == {18}


def test_a_model_without_some_conditions_has_no_rank_among_the_others(made):
    matrix = read_matrix(made.run)
    assert all(column.rank(cell) is None for column in matrix.columns for cell in column.cells if cell.model == "torn")
    assert matrix.columns[0].figure == "clean"


def test_models_are_ranked_under_changes_though_only_unchanged_images_tell_them_apart(tmp_path):
    plan = [{"method": "brightness", "severities": [5]}, {"method": "fog", "severities": [1]}]
    models = {"exact": Brightness(0.5), "late": Brightness(0.8)}
    found = unshaken.matrix(models, {"flat": flat_images(40)}, {"light": plan}, out=tmp_path / "o")
    (column,) = found.summary["columns"]
    assert {name: pairs[0]["verdict"] for name, pairs in column["pairs"].items()} == {
        "worst_natural": "not shown",
        "clean": "worse",
    }
    assert column["figure"] == "worst_natural"
    sentence = "correct under every change without an attacker: exact and late may each be the best of 2."
    assert sentence in " ".join(found.run.read("index.md").decode().replace("*", "").split())


def test_data_without_labels_have_no_ranks(tmp_path):
    pixels, _ = flat_images(20)
    found = unshaken.matrix(
        {"a": Brightness(0.5), "b": Brightness(0.6)}, {"flat": pixels}, {"fog": FOG}, out=tmp_path / "o"
    )
    assert found.summary["columns"][0]["figure"] == LOWEST
    assert found.summary["columns"][0]["ranks"] == {}
    assert found.table()[0]["value"] <= 1.0


def test_each_image_is_decoded_once_for_all_cells(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(streaming, "open_image", lambda source: (opened.append(source), open_image(source))[1])
    for name, level in (("dark", 40), ("light", 220)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((9, 9, 3), level + i, np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    models = {str(i): Brightness(0.5) for i in range(4)}
    done = unshaken.matrix(
        models, {"photos": f"folder:{tmp_path}/photos"}, {"fog": FOG, "clean": []}, out=tmp_path / "o"
    )
    assert not done.failed
    assert len([one for one in opened if not isinstance(one, np.ndarray)]) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": 3}, "demo"), "a model is a SPEC such as 'demo' or a torch module, not of type int"),
        (([nn.Identity()], "demo"), "a model that is no text needs a name"),
        (("demo", {}), "no data set is given"),
        (("demo", "demo", [FOG]), "a plan that is no text needs a name"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, tmp_path):
    with pytest.raises(ParameterError, match=message):
        unshaken.matrix(*arguments, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("option", [{"name": "x"}, {"share": True}, {"baseline": "x"}, {"register": "a@b"}])
def test_options_of_a_single_run_are_refused(option, tmp_path):
    (name,) = option
    with pytest.raises(ParameterError, match=f"^{name} .* is not for a matrix"):
        unshaken.matrix("demo", "demo", **option, out=tmp_path / "o")
    with pytest.raises(ParameterError, match="a matrix needs an out"):
        unshaken.matrix("demo", "demo")


def test_the_page_fits_a_screen_and_a_telephone_and_leads_to_the_cells(made, browser):
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        noise = []
        page.on("console", lambda message, noise=noise: noise.append(message.text))
        page.goto(f"file://{made.run.root}/index.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        links = page.eval_on_selector_all("#models a", "all => all.map(a => a.getAttribute('href'))")
        assert "exact/flat/fog/report.html" in links
        page.goto(f"file://{made.run.root}/{links[0]}")
        assert "Robustness of" in page.inner_text("h1")
        assert noise == []
        page.close()


def test_the_list_of_runs_has_every_finished_cell(made, tmp_path):
    pytest.importorskip("sqlalchemy")
    from unshaken.serve.site.index import RunIndex
    from unshaken.serve.site.listing import Order, RunFilters, list_runs

    with RunIndex(f"sqlite:///{tmp_path}/runs.db", [str(made.run)]) as index:
        index.refresh()
        names = [run.name for run in list_runs(index, RunFilters(), order=Order.NAME).runs]
    assert names == sorted(cell.place for cell in made.cells if cell.state == "finished")


def test_cells_of_other_data_than_the_usual_are_not_ranked(tmp_path):
    pixels, labels = flat_images()
    models = {"a": Brightness(0.5), "b": Brightness(0.9)}
    unshaken.matrix(models, {"flat": (pixels, labels)}, {"clean": []}, out=tmp_path / "o")
    shutil.rmtree(tmp_path / "o/b/flat/clean")
    unshaken.audit(models["b"], (pixels[:40], labels[:40]), [], out=tmp_path / "o/b/flat/clean")
    (column,) = read_matrix(RunDir(tmp_path / "o")).columns
    assert [column.rank(cell) for cell in column.cells].count(None) == 1
    assert column.pairs["clean"] == ()
