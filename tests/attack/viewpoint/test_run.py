"""Attacks by viewpoint as a user runs them: rows, page, bad meshes, and data that is no object."""

import json

import pytest
import torch
from torch import nn

import unshaken
from unshaken.attack.viewpoint.gmvfool import GMVFool
from unshaken.core.errors import DataError, RunError
from unshaken.store.run_dir import RunDir

TINY = "gmvfool:components=2,pairs=2,steps=2,samples=5"
SQUARE = "v -1 0 -1\nv 1 0 -1\nv 1 1 1\nv -1 1 1\nf 1 2 3\nf 1 3 4\n"


class ByBrightness(nn.Module):
    """The brighter the picture, the likelier the second class."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        bright = x.mean((1, 2, 3))
        return torch.stack([bright * k for k in range(self.classes)], 1)


def test_a_run_has_rows_a_globe_and_the_hardest_views(tmp_path):
    audit = unshaken.attack(ByBrightness(8), "solids:1?size=12", TINY, out=tmp_path / "run", save_examples=8)
    (one,) = audit.summary["viewpoints"]
    assert (one["condition"], one["views"], one["accuracy"]["n"]) == ("gmvfool", 40, 8)
    run = RunDir(tmp_path / "run")
    assert len(run.rows("view_mixtures")) == 16
    assert 'id="viewpoints"' in (tmp_path / "run" / "report.html").read_text()
    assert audit.summary["attacks"][0]["turns"][0]["accuracy"]["value"] == one["held"]["value"]
    assert audit.summary["aggregates"]["worst_natural"] is None  # the search is an attacker
    condition = next(c for c in audit.summary["conditions"] if c["condition"] == "gmvfool")
    assert condition["accuracy"]["value"] == one["held"]["value"]
    assert all(i.shape == (3, 12, 12) for i in run.examples("gmvfool").values())
    before = run.rows("views").to_pylist()
    next((tmp_path / "run" / "rows" / "outcomes").glob("gmvfool-*")).unlink()
    unshaken.attack(ByBrightness(8), "solids:1?size=12", TINY, out=tmp_path / "run", save_examples=8, resume=True)
    assert RunDir(tmp_path / "run").rows("views").to_pylist() == before


def test_a_killed_search_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = unshaken.attack(ByBrightness(8), "solids:1?size=12", TINY, out=tmp_path / "whole").run
    monkeypatch.setattr("unshaken.store.journal.Journal.__init__.__kwdefaults__", {"alive": lambda: None, "every": 0.0})
    learn, searched = GMVFool.learn, []

    def killed(self, objects, *rest):
        searched.append(len(objects))
        if len(searched) == 3:
            raise KeyboardInterrupt
        return learn(self, objects, *rest)

    monkeypatch.setattr(GMVFool, "learn", killed)
    monkeypatch.setattr(GMVFool, "width", lambda self, limit: 2)
    out = {"out": tmp_path / "run"}
    with pytest.raises(RunError, match="interrupted"):
        unshaken.attack(ByBrightness(8), "solids:1?size=12", TINY, **out)
    again = unshaken.attack(ByBrightness(8), "solids:1?size=12", TINY, **out, resume=True).run
    assert searched == [2, 2, 2, 2, 2]  # the first four objects once, the others after the kill
    for table in ("views", "view_mixtures"):
        assert again.rows(table).to_pylist() == whole.rows(table).to_pylist()


def test_a_bad_mesh_is_a_row(tmp_path):
    for folder, name, text in [("a", "x.obj", SQUARE), ("a", "none.obj", "v 0 0 0\n"), ("b", "y.obj", SQUARE)]:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    spec = f"meshes:{tmp_path}?size=16"
    audit = unshaken.attack(ByBrightness(2), spec, "random-views:samples=3", out=tmp_path / "run")
    assert audit.summary["bad_samples"] == [{"id": "a/none.obj", "reason": "the mesh has no faces"}]
    assert audit.summary["viewpoints"][0]["accuracy"]["n"] == 2
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["viewpoints"]


def test_pictures_are_refused_before_anything_is_run(tmp_path):
    with pytest.raises(DataError, match=r"^gmvfool needs objects .* and data 'demo' holds pictures: use meshes:DIR"):
        unshaken.attack("demo", "demo", "gmvfool", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
