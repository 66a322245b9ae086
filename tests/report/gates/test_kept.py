"""The gates of a run stay in its directory, whatever makes its report again."""

from __future__ import annotations

import json
import math
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from unshaken.core.errors import ParameterError, RunError
from unshaken.report import GateResult, compare_runs, write_report
from unshaken.report.gates.kept import KeptGates, begin_gates, describe, read_gates
from unshaken.report.model_card import model_card
from unshaken.report.pages.runs import comparison_page
from unshaken.report.rebuild import rebuild_report
from unshaken.report.render.markdown import render_markdown
from unshaken.report.summary import schema
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]
FOG = [Entry(method="fog", severities=(1, 3))]
ASKED = ["clean.accuracy >= 0.5", "fog.accuracy >= 0.99"]
FILES = ("gates.json", "summary.json", "report.html", "report.md", "junit.xml")


def states(run: RunDir) -> list[str]:
    return [r.state for r in read_gates(run).results]


def test_a_report_made_again_has_the_same_gates_in_every_file(make_run: Make) -> None:
    run = make_run(plan=FOG)
    write_report(run, gates=ASKED)
    first = {name: run.read(name) for name in FILES}
    assert rebuild_report(run)["gates"] == json.loads(first["gates.json"])["gates"]
    assert {name: run.read(name) for name in FILES} == first
    jsonschema.validate(json.loads(first["summary.json"]), schema())
    kept = json.loads(first["gates.json"])
    assert (kept["schema"], kept["verdict"], kept["baseline"]) == (1, "failed", None)
    assert [(g["gate"], g["state"]) for g in kept["gates"]] == list(zip(ASKED, ("held", "failed"), strict=True))
    assert kept["gates"][0]["value"] == json.loads(first["summary.json"])["clean"]["value"]
    assert describe(read_gates(run).results) == [f"gate FAILED: {ASKED[1]}: {kept['gates'][1]['detail']}"]


def test_new_gates_replace_those_of_before(make_run: Make) -> None:
    run = make_run(plan=FOG)
    write_report(run, gates=ASKED)
    write_report(run, gates=ASKED[:1])
    assert read_gates(run).verdict == "held"
    assert ET.fromstring(run.read("junit.xml")).attrib["tests"] == "1"


def test_gates_of_rows_that_are_not_all_there_are_not_decided(make_run: Make) -> None:
    run = make_run(plan=FOG)
    write_report(run, gates=ASKED[:1])
    lost = run.read("rows", "outcomes", "fog-3-00001.parquet")
    run.remove("rows", "outcomes", "fog-3-00001.parquet")
    assert rebuild_report(run)["gates"][0]["state"] == "undecided"
    assert "The gate is not decided" in run.read("report.md").decode()
    assert ET.fromstring(run.read("junit.xml")).attrib["errors"] == "1"
    run.write(lost, "rows", "outcomes", "fog-3-00001.parquet")
    rebuild_report(run)
    assert states(run) == ["held"]


def test_a_gate_whose_figure_is_absent_is_not_decided(make_run: Make) -> None:
    run = make_run(plan=FOG)
    with pytest.raises(ParameterError, match="did you mean 'fog'"):
        write_report(run, gates=["fgo >= 0.1", *ASKED])
    assert states(run) == ["undecided", "held", "failed"]
    assert read_gates(run).verdict == "failed"


def test_the_comparison_with_a_baseline_outlives_it(make_run: Make) -> None:
    before, run = make_run("before", plan=FOG), make_run("after", plan=FOG, shift=2.0)
    write_report(run, baseline=before, gates=["no-regression"])
    assert states(run) == ["failed"]
    assert rebuild_report(run)["comparison"] is not None
    assert states(run) == ["failed"]
    shutil.rmtree(before.root)
    for _ in range(2):
        rebuild_report(run)
        (result,) = read_gates(run).results
        assert (result.state, result.detail.count("cannot be read now")) == ("failed", 1)


def test_another_run_in_the_place_of_the_baseline_decides_nothing(make_run: Make) -> None:
    before, run = make_run("before", plan=FOG), make_run("after", plan=FOG, shift=2.0)
    write_report(run, baseline=before, gates=["no-regression"])
    shutil.rmtree(before.root)
    make_run("before", plan=FOG, shift=2.0, seed=9)
    rebuild_report(run)
    assert states(run) == ["failed"]


def test_a_run_that_begins_keeps_its_gates_undecided(make_run: Make) -> None:
    run = make_run(plan=FOG)
    run.write(b"<old/>", "junit.xml")
    begin_gates(run, "net", ["clean.accuracy  >= 0.5"], None, first=True)
    assert [(r.text, r.state) for r in read_gates(run).results] == [("clean.accuracy >= 0.5", "undecided")]
    assert ET.fromstring(run.read("junit.xml")).attrib["errors"] == "1"
    begin_gates(run, "net", [], None, first=False)  # a run that goes on has those of before
    assert states(run) == ["undecided"]
    write_report(run)
    assert states(run) == ["held"]
    begin_gates(run, "net", [], None, first=True)  # a run made anew has none
    assert not run.exists("gates.json")
    assert not run.exists("junit.xml")


def test_a_gate_that_was_added_is_not_asked_again(make_run: Make) -> None:
    run, added = make_run(plan=FOG), GateResult("non_finite == 0", False, 0.1, "some", added=True)
    KeptGates((GateResult(ASKED[0], True, 1.0, ""), added)).write(run, "net")
    write_report(run)
    assert [r.text for r in read_gates(run).results] == ASKED[:1]


def test_an_infinite_figure_is_null(make_run: Make) -> None:
    run = make_run(plan=FOG)
    KeptGates((GateResult("fab.median >= 1", True, math.inf, ""),)).write(run, "net")
    assert json.loads(run.read("gates.json"))["gates"][0]["value"] is None
    assert read_gates(run).verdict == "held"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"verdict": "failed"', '"verdict": "held"'),
        lambda text: text.replace('"failed"', '"passed"'),
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: "[]",
    ],
    ids=["cut", "verdict", "state", "schema", "list"],
)
def test_a_damaged_file_is_an_error_and_no_clean_page(make_run: Make, change: Callable[[str], str]) -> None:
    run = make_run(plan=FOG)
    write_report(run, gates=ASKED)
    page = run.read("report.html")
    run.write(change(run.read("gates.json").decode()).encode(), "gates.json")
    with pytest.raises(RunError, match=r"gates\.json (is damaged .*--gate|has the schema 2, of a later version)"):
        rebuild_report(run)
    assert run.read("report.html") == page
    write_report(run, gates=ASKED)
    assert read_gates(run).verdict == "failed"


def test_a_comparison_and_a_card_show_the_verdicts(make_run: Make, tmp_path: Path) -> None:
    before, run = make_run("before", plan=FOG, bad=False), make_run("after", plan=FOG, bad=False)
    assert "Gates of each run" not in render_markdown(comparison_page(compare_runs([before, run])))
    write_report(run, gates=ASKED)
    compared = compare_runs([before, run])
    text = render_markdown(comparison_page(compared))
    assert "gates FAILED" in text
    assert ASKED[1] in text
    assert "no gates" in text
    assert [g["verdict"] for g in compared.to_json()["gates"]] == ["none", "failed"]
    card = model_card(run)
    assert f"- **held**: {ASKED[0].replace('>', '&gt;')} (" in card
    assert f"- **failed**: {ASKED[1].replace('>', '&gt;')} (" in card
