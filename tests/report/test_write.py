from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from unshaken.core.errors import ParameterError
from unshaken.report import RunComparison, build, compare_runs, write_comparison, write_report
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]
FOG = [Entry(method="fog", severities=(1, 3))]


def test_a_report_is_three_files_and_a_fourth_with_gates(make_run: Make) -> None:
    run = make_run(plan=FOG)
    data, results = write_report(run)
    assert results == []
    assert json.loads(run.read("summary.json")) == data
    assert run.read("report.html").startswith(b"<!doctype html>")
    assert run.read("report.md").startswith(b"# Robustness of small net")
    assert not run.exists("junit.xml")
    _, results = write_report(run, gates=["clean.accuracy >= 0.5", "fog.accuracy >= 0.99"])
    assert [r.held for r in results] == [True, False]
    assert ET.fromstring(run.read("junit.xml")).attrib["failures"] == "1"


def test_the_same_rows_give_the_same_files(make_run: Make) -> None:
    run = make_run(plan=FOG)
    write_report(run)
    first = [run.read(n) for n in ("summary.json", "report.html", "report.md")]
    write_report(run)
    assert [run.read(n) for n in ("summary.json", "report.html", "report.md")] == first


def test_a_gate_that_names_nothing_leaves_the_report_readable(make_run: Make) -> None:
    run = make_run(plan=FOG)
    with pytest.raises(ParameterError, match="did you mean 'fog'"):
        write_report(run, gates=["fgo >= 0.1"])
    assert run.exists("report.html")
    assert ET.fromstring(run.read("junit.xml")).attrib["errors"] == "1"
    with pytest.raises(ParameterError, match="is not understood"):
        write_report(run, gates=["import os"])


def test_a_report_in_memory(make_run: Make) -> None:
    local, far = make_run(plan=FOG, bad=False), RunDir("memory://write-test")
    for path in local.fs.find(local.root):
        far.write(local.fs.cat_file(path), *path.removeprefix(local.root + "/").split("/"))
    assert write_report(far)[0] == build(local).data
    assert len(far.examples("fog-3")) == 6


def test_a_comparison_is_three_files(make_run: Make, tmp_path: Path) -> None:
    result = compare_runs([make_run("a", plan=FOG), make_run("b", plan=FOG, shift=2.0)])
    out = RunDir(tmp_path / "out")
    write_comparison(out, result)
    one = json.loads(out.read("compare.json"))["comparisons"][0]
    assert [c["verdict"] for c in one["conditions"]] == ["not shown", "worse", "worse"]
    assert b"<!doctype html>" in out.read("compare.html")
    assert rb"# Is small net \(b\) better than small net \(a\)?" in out.read("compare.md")
    assert isinstance(result.runs[0], RunComparison)
