"""`unshaken evaluate` on an evaluation of two parts: its run directory, gates, resume, page, and what is refused."""

from __future__ import annotations

import json
import shutil
from typing import ClassVar

import pytest
import torch
from pydantic import Field
from typing_extensions import override

import unshaken
from unshaken.cli.app import main
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.registry import register, unregister
from unshaken.core.tables import TABLES, declare_table
from unshaken.data.arrays import InMemory
from unshaken.measure.statistics.intervals import share
from unshaken.report.rebuild import rebuild_report, why_unfinished
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, Listing

MADE: list[str] = []
"""The parts that were computed, in order."""


@pytest.fixture(scope="module", autouse=True)
def bright():
    declare_table("toy_brightness", "id string, condition string, method string, bright bool")

    @register("toy-bright", reference="Nobody 2020")
    class Bright(Evaluation):
        """Share of bright images in each half of the samples."""

        title: ClassVar[str] = "Bright images"
        measures: ClassVar[tuple[str, ...]] = ("share",)
        needs: ClassVar[frozenset[str]] = frozenset({"images"})
        least: float = Field(0.5, ge=0, le=1, description="mean from which an image is bright")

        @override
        def judge(self, subject):
            batches = list(subject.batches())
            ids = [i for batch in batches for i in batch.ids]
            means = torch.cat([b.images.mean((1, 2, 3)) for b in batches]) if batches else torch.zeros(0)
            figures = {}
            for part, rows in (("first", slice(0, None, 2)), ("second", slice(1, None, 2))):

                def make(part=part, rows=rows):
                    MADE.append(part)
                    if part == STOP:
                        raise KeyboardInterrupt
                    return {"id": ids[rows], "bright": (means[rows] >= self.least).tolist()}

                table = subject.rows("toy_brightness", part, make)
                figures[f"share_{part}"] = share(sum(table["bright"].to_pylist()), len(table))
            value = figures["share_first"].value
            return EvaluationFindings(
                rows={}, figures=figures, answer=(f"{value:.0%} of the first half are bright.",),
                listings=(Listing("By half.", ("half", "share", "note"), (("first", figures["share_first"], None),)),),
            )  # fmt: skip

    yield Bright
    unregister("toy-bright")
    TABLES.pop("toy_brightness")


STOP = ""
IMAGES = torch.full((8, 1, 4, 4), 200, dtype=torch.uint8)
IMAGES[:3] = 10
DATA = InMemory(IMAGES, torch.arange(8) % 2)


@pytest.fixture(autouse=True)
def nothing_made(monkeypatch):
    MADE.clear()
    monkeypatch.setitem(globals(), "STOP", "")


def test_rows_figures_record_and_page(tmp_path):
    found = unshaken.evaluate("toy-bright", data=DATA, out=tmp_path / "run", gates="share_second >= 0.5")
    rows = found.run.rows("toy_brightness").to_pylist()
    assert [(r["id"], r["condition"], r["bright"]) for r in rows] == [
        *((str(i), "first", i >= 3) for i in (0, 2, 4, 6)),
        *((str(i), "second", i >= 3) for i in (1, 3, 5, 7)),
    ]
    assert {r["method"] for r in rows} == {"toy-bright"}
    assert found.summary["figures"]["share_first"]["value"] == 0.5
    assert found.held
    text = found.run.read("report.md").decode()
    assert text.index("50% of the first half are bright.") < text.index("By half.") < text.index("share_second")
    assert "gate held" in text
    assert rebuild_report(RunDir(tmp_path / "run"))["finished"]
    assert found.run.read("report.md").decode() == text


def test_a_killed_run_goes_on_with_the_part_that_is_missing(tmp_path, monkeypatch):
    whole = unshaken.evaluate("toy-bright", data=DATA, out=tmp_path / "whole")
    MADE.clear()
    monkeypatch.setitem(globals(), "STOP", "second")
    with pytest.raises(KeyboardInterrupt):
        unshaken.evaluate("toy-bright", data=DATA, out=tmp_path / "run", gates=["share_first >= 0.9"])
    assert "the run has not finished" in why_unfinished(RunDir(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "gates.json").read_text())["verdict"] == "undecided"
    monkeypatch.setitem(globals(), "STOP", "")
    again = unshaken.evaluate("toy-bright", data=DATA, out=tmp_path / "run", resume=True)
    assert MADE == ["first", "second", "second"]
    assert again.run.rows("toy_brightness").equals(whole.run.rows("toy_brightness"))
    assert again.summary["figures"] == whole.summary["figures"]
    assert not again.held  # the gate of the first call is still asked
    MADE.clear()
    assert unshaken.evaluate("toy-bright", data=DATA, out=tmp_path / "run", resume=True).summary == again.summary
    assert MADE == []


@pytest.mark.parametrize(
    ("change", "what"),
    [({"seed": 1}, "seed"), ({"limit": 4}, "limit"), ({"method": "toy-bright:least=0.6"}, "method"),
     ({"data": InMemory(IMAGES[:7], torch.arange(7) % 2)}, "data_fingerprint")],
)  # fmt: skip
def test_a_resume_with_other_settings_is_refused(tmp_path, change, what):
    given = {"method": "toy-bright", "data": DATA, "out": tmp_path / "run"}
    unshaken.evaluate(**given)
    with pytest.raises(RunError, match=rf"other settings \(.*{what}.* differ\)"):
        unshaken.evaluate(**{**given, **change}, resume=True)
    with pytest.raises(RunError, match="add --resume or choose another"):
        unshaken.evaluate(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "toy-brigth"}, "no method 'toy-brigth' in tasks: did you mean 'toy-bright'"),
        ({"method": "toy-bright:least=2"}, "least"),
        ({"method": "gradcam"}, "no method 'gradcam' in tasks"),
        ({"model": "demo"}, "toy-bright takes no model: leave it out"),
        ({"gates": "accuracy >= 1"}, "toy-bright has no such figure; .*share"),
        ({"gates": "shares >= 1"}, "has no such figure"),
        ({"gates": "share[eps=1] >= 1"}, "has no such figure"),
        ({"gates": "share >= x"}, "share >= x"),
        ({"limit": 0}, "limit"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(tmp_path, given, message):
    with pytest.raises(ParameterError, match=message):
        unshaken.evaluate(**{"method": "toy-bright", "data": DATA, "out": tmp_path / "run", **given})
    assert MADE == []
    assert not (tmp_path / "run").exists()


def test_a_gate_on_a_figure_that_is_not_there_after_all_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="no 'share_third'; did you mean"):
        unshaken.evaluate("toy-bright", data=DATA, out=tmp_path / "run", gates="share_third >= 0.5")


def test_the_directory_of_another_command_is_left_alone(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ParameterError, match="out"):
        unshaken.evaluate("toy-bright", data=DATA, out=tmp_path)


def test_an_image_that_cannot_be_read_is_named_and_stays_named_on_resume(tmp_path):
    photos = tmp_path / "photos"
    for name in ("a", "b"):
        (photos / name).mkdir(parents=True)
    from PIL import Image

    for i in range(4):
        Image.new("L", (4, 4), 250).save(photos / "a" / f"{i}.png")
    (photos / "b" / "bad.png").write_bytes(b"no picture")
    words = ["evaluate", "toy-bright", "--data", f"folder:{photos}", "--out", str(tmp_path / "run"), "--json"]
    assert main(words) == 3
    assert main([*words, "--resume"]) == 3
    (bad,) = json.loads((tmp_path / "run" / "evaluate.json").read_text())["bad_samples"]
    assert "bad.png" in bad["id"]
    assert "bad.png" in (tmp_path / "run" / "report.md").read_text()


def test_exit_codes_of_the_command(tmp_path, capsys):
    words = ["evaluate", "toy-bright", "--data", "demo", "--limit", "20", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "held"), "--gate", "share_first >= 0"]) == 0
    assert main([*words, "--out", str(tmp_path / "failed"), "--gate", "share_first >= 1"]) == 1
    assert main(["report", str(tmp_path / "failed"), "--quiet"]) == 1
    assert main([*words, "--out", str(tmp_path / "wrong"), "--gate", "accuracy >= 1"]) == 2
    shutil.rmtree(tmp_path / "held" / "rows")
    assert main(["report", str(tmp_path / "held"), "--quiet"]) == 0  # its figures stand in its record
    capsys.readouterr()
    assert main(["list", "evaluations", "--quiet"]) == 0
    assert "toy-bright" in capsys.readouterr().out.split()
