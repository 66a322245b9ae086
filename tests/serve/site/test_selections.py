"""Selections of the map: kept under a name, a filter of the samples, and a column for `--meta`."""

from __future__ import annotations

import base64
import csv
import io
import re

import numpy as np
import pytest

from tests.serve.site.conftest import runs_of, write_map
from unshaken import api
from unshaken.report.read.frame import read_frame
from unshaken.report.read.slices import read_slices
from unshaken.serve.site.index import MOST_SAVED
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir

NAME = "left, <b>half</b>"


def bits_of(chosen: list[int], n: int = 48) -> str:
    """What the script of the map sends."""
    flags = np.zeros(n, np.uint8)
    flags[chosen] = 1
    return base64.b64encode(np.packbits(flags).tobytes()).decode()


@pytest.fixture
def ann(open_client, folder):
    write_map(RunDir(folder / "a"))
    return open_client(folder)


def test_a_saved_choice_filters_the_samples_and_is_a_column_for_meta(ann, folder, tmp_path):
    run = f"/runs/{runs_of(ann.site)['a'].id}"
    chosen = [0, 9, 17, 40]
    assert "Selection" not in ann.get(f"{run}/samples")
    bits = bits_of(chosen)
    token = ann.get("/runs")
    shown = ann.post(f"{run}/selections", token, name=NAME, points="48", chosen=[bits[:4], bits[4:]])
    assert ann.at == f"{run}/samples"
    assert "4 samples" in shown
    page = ann.get(f"{run}/samples?condition=clean&order=given&selection=left%2C+%3Cb%3Ehalf%3C%2Fb%3E")
    assert [int(n) for n in re.findall(rf'<li><a href="{run}/samples/(\d+)"', page)] == chosen
    assert "<b>half" not in page
    table = ann.get(f"{run}/selection.csv?name=left%2C+%3Cb%3Ehalf%3C%2Fb%3E")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [i for i, row in enumerate(rows) if row[NAME] == "in"] == chosen
    assert sum(row[NAME] == "out" for row in rows) == 44
    assert sum(row[NAME] == "" for row in rows) == len(rows) - 48  # the image that could not be read has no point
    (tmp_path / "meta.csv").write_text(table.replace('"left, <b>half</b>"', "half"))
    api.slices(folder / "a", "half", meta=tmp_path / "meta.csv")
    kept = RunDir(folder / "a")
    (found,) = read_slices(kept, read_frame(kept, read_config(kept)))
    assert found.name == "half"
    assert [i for i, k in enumerate(found.codes) if k >= 0 and found.parts[k] == "in"] == chosen
    ann.post(f"{run}/selections", token, name=NAME, remove="yes")
    assert "Selection" not in ann.get(f"{run}/samples")
    assert "has no selection" in ann.get(f"{run}/samples?selection=gone", 400)
    ann.get(f"{run}/selection.csv?name=gone", 404)


@pytest.mark.parametrize(
    ("points", "chosen", "words"),
    [
        ("47", bits_of([1]), "has changed"),
        ("48", bits_of([1], 56), "has changed"),
        ("48", "not base64!", "has changed"),
        ("48", bits_of([]), "no image is chosen"),
    ],
)
def test_a_choice_that_does_not_fit_the_map_is_refused(ann, points, chosen, words):
    run = f"/runs/{runs_of(ann.site)['a'].id}/selections"
    assert words in ann.post(run, ann.get("/runs"), 400, name="x", points=points, chosen=chosen)


def test_names_and_the_number_of_selections_are_limited(ann):
    runs = runs_of(ann.site)
    run, token = f"/runs/{runs['a'].id}/selections", ann.get("/runs")
    fields = {"points": "48", "chosen": bits_of([3])}
    assert "40 printable" in ann.post(run, token, 400, name="x" * 41, **fields)
    for i in range(MOST_SAVED):
        ann.site.index.save_selection(runs["a"].place, f"s{i}", [i])
    assert "remove one first" in ann.post(run, token, 400, name="more", **fields)
    ann.post(run, token, name="s1", **fields)  # in the place of the one of this name
    assert ann.site.index.selection(runs["a"].place, "s1")[0] == [3]
    assert ann.site.index.selections(runs["deep/b"].place) == []
    assert "has no map" in ann.post(f"/runs/{runs['deep/b'].id}/selections", token, 400, name="x", **fields)


def test_a_server_that_is_only_read_keeps_no_choice(open_client, folder):
    write_map(RunDir(folder / "a"))
    ann = open_client(folder, read_only=True)
    run = runs_of(ann.site)["a"]
    ann.site.index.save_selection(run.place, "kept", [3])
    assert "data-save" not in ann.get(f"/runs/{run.id}/report")
    page = ann.get(f"/runs/{run.id}/samples?selection=kept&condition=clean")
    assert "1 sample<" in page
    assert "Forget" not in page
